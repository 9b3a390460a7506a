"""Look for input that a reader does not survive, guided by the code that it reaches.

    python tests/hostile/fuzz.py [--seconds 60] [READER …]

READER is one of those of `readers.py`; all of them, one after the other, if none is named. What
was found is printed with the place of the fault and the input, and the exit code is 1. Needs
atheris (`make fuzz` installs it). Compiled code (Arrow, expat, HDF5) is not instrumented: there the
search is blind, and looks for what the product makes of the errors.
"""

import argparse
import base64
import faulthandler
import random
import resource
import subprocess
import sys
import tempfile
import traceback
import zlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

MEMORY = 6 << 30
"""Bytes of address space: a reader that asks for more fails here, as it would on a laptop."""

SECONDS_AN_INPUT = 20

READ_WITH = [
    "rrl_batch", "tomllib", "json", "zipfile", "astropy.io.votable", "astropy.io.ascii",
    "astropy.table.meta", "numpy.lib.format", "numpy.lib._format_impl",
]  # fmt: skip
"""Modules whose branches guide the search."""


def _kernels() -> Iterator[str]:
    """Yield the modules whose bytecode numba compiles, which it must find as it was written."""
    spec = find_spec("rrl_batch")  # which does not import it
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    for file in package.rglob("*.py"):
        if "numba" in file.read_text():
            yield ".".join(file.relative_to(package.parent).with_suffix("").parts)


def main() -> int:
    """Fuzz some readers, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("readers", nargs="*", metavar="READER")
    parser.add_argument("--seconds", type=int, default=60, help="for each reader")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        _fuzz(options.readers[0], options.seconds)
    from readers import READERS

    faulty = []
    for name in options.readers or READERS:
        command = [sys.executable, __file__, "--here", "--seconds", str(options.seconds), name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        runs = [line for line in done.stderr.splitlines() if "number_of_executed" in line]
        inputs = int(runs[0].split()[-1]) if runs else 0
        found = done.stdout.count(_FAULT)
        if found or not inputs:
            faulty.append(name)
        print(f"{name:<18} {inputs:>9,} inputs, {found} faults", flush=True)
        print(done.stdout, end="")
        if not inputs:  # killed, or stopped by libFuzzer: too slow
            print(done.stderr[-4000:])
    return int(bool(faulty))


_FAULT = "FAULT "


def _fuzz(name: str, seconds: int) -> None:
    """Fuzz a reader until the time is over, when libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=READ_WITH, exclude=list(_kernels())):
        from mutations import mutated
        from readers import READERS

        reader = READERS[name]
        seed = reader.seed()
        folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        reader(seed, folder / "input")  # what is imported late is instrumented, too
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    corpus = folder / "corpus"
    corpus.mkdir()
    (corpus / "seed").write_bytes(seed)
    known = set()

    def one(content: bytes) -> None:
        try:
            reader(content, folder / "input")
        except BaseException as error:
            place = traceback.extract_tb(error.__traceback__)
            own = [f"{Path(f.filename).name}:{f.lineno}" for f in place]
            mark = (type(error), own[-1])
            if mark not in known:
                known.add(mark)
                text = base64.b85encode(zlib.compress(content)).decode()
                said = str(error)[:300]
                print(f"{_FAULT}{type(error).__name__}: {said}\n  {' '.join(own)}\n  {text}")
                sys.stdout.flush()

    def mutate(content: bytes, most: int, seed: int) -> bytes:
        own = random.Random(seed)
        if own.random() < 0.3:
            return atheris.Mutate(content, most)
        return mutated(content, own)[:most]

    atheris.Setup(
        [
            sys.argv[0], str(corpus), f"-max_total_time={seconds}", "-rss_limit_mb=0",
            f"-timeout={SECONDS_AN_INPUT}", f"-max_len={2 * len(seed) + 16384}",
            f"-artifact_prefix={folder}/", "-print_final_stats=1", "-verbosity=1",
        ],
        one,
        custom_mutator=mutate,
    )  # fmt: skip
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
