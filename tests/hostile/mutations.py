"""Small changes to a file that make it hostile: what a fuzzer and property tests begin with."""

import re
from random import Random

NUMBERS = [
    b"0", b"-1", b"1e999", b"nan", b"NaN", b"inf", b"-Infinity", b"1152921504606846976",
    b"9223372036854775807", b"-9223372036854775808", b"18446744073709551616", b"2147483648",
    b"1e308", b"0.1", b"9" * 5000, b"1" + b"0" * 400, b"true", b"null", b'"word"', b"[]", b"{}",
]  # fmt: skip
"""What stands for a number, or in the place of one."""

WORDS = [
    b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"\xc3\xa9", b"\r\n", b"\n", b'"', b"'", b",", b"=",
    b"[", b"]", b"{", b"}", b"[[", b"<", b">", b"&", b"<!DOCTYPE a [", b"]]>", b"# %ECSV 1.0\n",
    b"../../etc/passwd", b"/dev/zero", b"%s%n", b"*", b"!!python/object:os.system", b"\\u0000",
    b"\\ud800", b"\x1b[2J", b"1970-01-01T00:00:00Z", b"PAR1", b"PK\x03\x04", b"\x1f\x8b\x08",
    b"[" * 3000, b'{"a":' * 3000, b"(" * 3000, b"a" * 3000,
]  # fmt: skip
"""What means something to one reader or another."""

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def mutated(content: bytes, random: Random, most: int = 3) -> bytes:
    """Return the content with a few changes."""
    for _ in range(random.randint(1, most)):
        content = random.choice(_CHANGES)(content, random)
    return content


def _place(content: bytes, random: Random) -> int:
    return random.randint(0, len(content))


def _overwrite(content: bytes, random: Random) -> bytes:
    start = _place(content, random)
    size = random.choice((1, 1, 2, 4, 8))
    edge = random.choice((0, 1, 2**7 - 1, 2**31 - 1, 2**60, 2**63 - 1, 2**64 - 1))
    value = random.choice((edge, random.getrandbits(64))) % 256**size
    return content[:start] + value.to_bytes(size, "little") + content[start + size :]


def _remove(content: bytes, random: Random) -> bytes:
    start = _place(content, random)
    return content[:start] + content[start + random.choice((1, 2, 8, 64, len(content))) :]


def _repeat(content: bytes, random: Random) -> bytes:
    start = _place(content, random)
    piece = content[start : start + random.choice((1, 8, 64, 512))]
    return content[:start] + piece * random.choice((2, 3, 20)) + content[start:]


def _insert(content: bytes, random: Random) -> bytes:
    start = _place(content, random)
    return content[:start] + random.choice(WORDS) + content[start:]


def _other_number(content: bytes, random: Random) -> bytes:
    found = list(_NUMBER.finditer(content))
    if not found:
        return _insert(content, random)
    start, stop = random.choice(found).span()
    return content[:start] + random.choice(NUMBERS) + content[stop:]


def _other_word(content: bytes, random: Random) -> bytes:
    found = list(re.finditer(rb"\w+", content))
    if not found:
        return _insert(content, random)
    start, stop = random.choice(found).span()
    other = random.choice(found).group()
    return content[:start] + random.choice((other, b"", random.choice(WORDS))) + content[stop:]


_CHANGES = (_overwrite, _remove, _repeat, _insert, _other_number, _other_number, _other_word)
