"""Small files that claim to be enormous, or unpack to something that is: a generator each.

Each is of a reader of `readers.py`, and must be refused in a sentence, soon and in little memory.
"""

import base64
import gzip
import io
import json
import resource
import signal
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from readers import READERS, STARS

HUGE = 2**60


def _star_columns(**changed: str) -> str:
    columns = {
        "source_id": "long", "ra": "double", "dec": "double",
        "best_classification": 'char" arraysize="*', "period": "double",
    }  # fmt: skip
    return "".join(
        f'<FIELD name="{name}" datatype="{kind}"/>' for name, kind in (columns | changed).items()
    )


def _votable(table: str, head: str = "", nrows: str = "") -> bytes:
    return (
        f'<?xml version="1.0"?>{head}<VOTABLE version="1.4" '
        f'xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE{nrows}>'
        f"{table}</TABLE></RESOURCE></VOTABLE>"
    ).encode()


_ROW = "<TR><TD>1</TD><TD>1</TD><TD>1</TD><TD>RRab</TD><TD>0.5</TD></TR>"
_ROWS = f"<DATA><TABLEDATA>{_ROW}</TABLEDATA></DATA>"


def _binary(content: bytes) -> str:
    text = base64.b64encode(content).decode()
    return f'<DATA><BINARY><STREAM encoding="base64">{text}</STREAM></BINARY></DATA>'


def _ecsv(*header: str, row: str = "1") -> bytes:
    comments = "".join(f"# {line}\n" for line in ("%ECSV 1.0", "---", *header))
    return f"{comments}source_id\n{row}\n".encode()


def _times(text: str) -> str:
    return ", ".join([text] * 10)


def _footer_of(content: bytes, old: int, new: int) -> bytes:
    """Change a number in a Parquet footer, where numbers are zigzag varints."""
    length = struct.unpack("<I", content[-8:-4])[0]
    body, footer = content[: -8 - length], content[-8 - length : -8]
    assert _varint(old) in footer
    footer = footer.replace(_varint(old), _varint(new))
    return body + footer + struct.pack("<I", len(footer)) + b"PAR1"


def _varint(number: int) -> bytes:
    number, out = number << 1, b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def _stars(rows: int = 777) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({name: [STARS[name].iloc[0]] * rows for name in STARS}), file)
    return file.getvalue()


def _long_text() -> bytes:
    """Return transits of a band whose name is megabytes long, which Parquet keeps once."""
    file, n = io.BytesIO(), 2**17
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), ["G" * 2**22])
    columns = {
        "source_id": np.zeros(n, np.int64),
        "band": text.cast(pa.dictionary(pa.int32(), pa.string())),
        "time": np.zeros(n),
        "mag": np.zeros(n),
    }
    pq.write_table(pa.table(columns), file, compression="zstd")
    return file.getvalue()


def _npz(how: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    file = io.BytesIO(READERS["ridge"].seed())
    with zipfile.ZipFile(file) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as archive:
        for name, data in (content | {f"{n}.npy": d for n, d in members.items()}).items():
            archive.writestr(name, data)
    return out.getvalue()


def _npy(shape: str, descr: str = "<f8", tail: bytes = b"") -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header = header.ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + tail


def _weights(change: Callable[[h5py.File], object]) -> bytes:
    file = io.BytesIO(READERS["weights"].seed())
    with h5py.File(file, "r+") as weights:
        change(weights)
    return file.getvalue()


def _replace(name: str, **how: object) -> Callable[[h5py.File], object]:
    def change(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, **how)

    return change


def _card(**changed: object) -> bytes:
    return json.dumps(json.loads(READERS["model.json"].seed()) | changed).encode()


def _domain() -> dict[str, object]:
    return json.loads(READERS["model.json"].seed())["domain"]["RRab"]


def _preprocess(points: int) -> bytes:
    card = json.loads(READERS["model.json"].seed())
    card["preprocess"] |= {"points": points, "smoothing": "robust"}
    return json.dumps(card | {"priors": {}}).encode()


_ENTITIES = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
_KERNEL = "layers/gru/cell/vars/0"

BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a footer that claims 2^60 rows": ("stars.parquet", lambda: _footer_of(_stars(), 777, HUGE)),
    "a footer that claims to be a gigabyte": (
        "stars.parquet", lambda: _stars()[:-8] + struct.pack("<I", 2**30) + b"PAR1"
    ),
    "a footer that claims to be 4 GB": (
        "stars.parquet", lambda: _stars()[:-8] + struct.pack("<I", 2**32 - 1) + b"PAR1"
    ),
    "a footer that claims 2^32 rows": ("stars.parquet", lambda: _footer_of(_stars(), 777, 2**32)),
    "a name of four megabytes, 131,072 times": ("transits.parquet", _long_text),
    "a CSV of zeros": ("stars.csv.gz", lambda: gzip.compress(bytes(2**24), 1) * 128),
    "a CSV of empty lines": ("stars.csv.gz", lambda: gzip.compress(b"\n" * 2**24, 1) * 128),
    "a CSV of one line": (
        "stars.csv.gz", lambda: gzip.compress(b"a,b\n1,", 1) + gzip.compress(b"1" * 2**24, 1) * 64
    ),
    "a CSV of a million columns": ("stars.csv", lambda: b"a," * 2**20 + b"\n" + b"1," * 2**20),
    "a CSV of endless names": ("transits.csv", lambda: b"a" * 2**25 + b",b\n1,2\n"),
    "a bulk file of zeros": ("bulk.gz", lambda: gzip.compress(bytes(2**24), 1) * 128),
    "a bulk file of comments": (
        "bulk.gz", lambda: gzip.compress(b"# %ECSV 1.0\n", 1) + gzip.compress(b"#" * 2**24, 1) * 128
    ),
    "a bulk file of one star": (
        "bulk.gz",
        lambda: gzip.compress(READERS["bulk"].seed().split(b"[")[0] + b"[", 1)
        + gzip.compress(b"1," * 2**23, 1) * 64,
    ),
    "entities of entities": (
        "stars.vot",
        lambda: _votable(
            _star_columns() + _ROWS.replace("RRab", "&a11;"),
            f'<!DOCTYPE VOTABLE [<!ENTITY a0 "aaaaaaaaaa">{_ENTITIES}]>',
        ),
    ),
    "an entity that is a file": (
        "stars.vot",
        lambda: _votable(
            _star_columns() + _ROWS.replace("RRab", "&a;"),
            '<!DOCTYPE VOTABLE [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        ),
    ),
    "elements within elements": (
        "stars.vot", lambda: _votable("<GROUP>" * 200_000 + "</GROUP>" * 200_000)
    ),
    "a VOTable that claims 2^60 rows": (
        "stars.vot", lambda: _votable(_star_columns() + _ROWS, nrows=f' nrows="{HUGE}"')
    ),
    "a VOTable that claims a billion rows": (
        "stars.vot", lambda: _votable(_star_columns() + _ROWS, nrows=' nrows="1000000000"')
    ),
    "an array of 2^60": (
        "stars.vot", lambda: _votable(_star_columns(ra=f'double" arraysize="{HUGE}') + _ROWS)
    ),
    "an array of a billion": (
        "stars.vot", lambda: _votable(_star_columns(ra='double" arraysize="1000000000') + _ROWS)
    ),
    "a text of a billion": (
        "stars.vot", lambda: _votable(_star_columns(ra='char" arraysize="1000000000') + _ROWS)
    ),
    "arrays of nothing, 2^31 times": (
        "stars.vot",
        lambda: _votable(
            _star_columns(ra='char" arraysize="0x*') + _binary(struct.pack(">qi", 1, 2**31 - 1))
        ),
    ),
    "a binary array that claims 2^31 numbers": (
        "stars.vot",
        lambda: _votable(
            _star_columns(ra='double" arraysize="*') + _binary(struct.pack(">qi", 1, 2**31 - 1))
        ),
    ),
    "a stream from elsewhere": (
        "stars.vot",
        lambda: _votable(
            _star_columns() + '<DATA><BINARY><STREAM href="file:///dev/zero"/></BINARY></DATA>'
        ),
    ),
    "a Parquet file from elsewhere": (
        "stars.vot",
        lambda: _votable(
            _star_columns()
            + '<DATA><PARQUET type="votable-parquet-content"><STREAM href="file:///dev/zero"/></PARQUET></DATA>'
        ),
    ),
    "a VOTable of blanks": (
        "stars.vot.gz", lambda: gzip.compress(b"<VOTABLE>", 1) + gzip.compress(b" " * 2**24, 1) * 64
    ),
    "references to references": (
        "stars.ecsv",
        lambda: _ecsv(
            *(f"a{i}: &a{i} [{_times(f'*a{i - 1}' if i else 'x')}]" for i in range(12)),
            "datatype: *a11",
        ),
    ),
    "merges of merges": (
        "stars.ecsv",
        lambda: _ecsv(
            "a0: &a0 {x: 1}",
            *(f"a{i}: &a{i} {{<<: [{_times(f'*a{i - 1}')}]}}" for i in range(1, 10)),
            "datatype:", "- {name: source_id, datatype: int64}",
        ),
    ),
    "a subtype of 2^60": (
        "stars.ecsv",
        lambda: _ecsv(
            "datatype:",
            f"- {{name: source_id, datatype: string, subtype: 'float64[{HUGE}]'}}",
            row='"[1]"',
        ),
    ),
    "a header that makes objects": (
        "stars.ecsv",
        lambda: _ecsv(
            "datatype:", "- {name: source_id, datatype: int64}",
            "meta: !!python/object/apply:os.system ['touch executed']",
        ),
    ),
    "lists within lists": ("job", lambda: b"a = " + b"[" * 100_000 + b"]" * 100_000),
    "tables within tables": ("job", lambda: b"a = " + b"{a=" * 100_000),
    "a key of many parts": ("job", lambda: b"a." * 100_000 + b"a = 1"),
    "a number of 5,000 digits": ("job", lambda: b"[simulate]\nstars = " + b"9" * 5_000),
    "a grid without end": (
        "job",
        lambda: b"[experiment.grid]\n"
        + b"".join(b'"training.%s" = [%s]\n' % (name, b", ".join(b"%d" % i for i in range(9, 99)))
                   for name in (b"epochs", b"patience", b"batch_size", b"min_epochs")),
    ),
    "a space without end": (
        "job",
        lambda: b"[search.space]\n"
        + b"".join(b'"training.%s" = [%s]\n' % (name, b", ".join(b"%d" % i for i in range(9, 99)))
                   for name in (b"epochs", b"patience", b"batch_size", b"min_epochs")),
    ),
    "a megabyte where a word belongs": (
        "job", lambda: b'[cluster]\nkind = "' + b"a" * 2**20 + b'"'
    ),
    "a key of a megabyte": ("job", lambda: b"[cluster]\n" + b"a" * 2**20 + b" = 1"),
    "a path with a zero": ("job", lambda: b'[survey]\npath = "a\\u0000b"'),
    "a card of lists within lists": ("model.json", lambda: b"[" * 1_000_000),
    "a card of 2^60 points": ("model.json", lambda: _preprocess(HUGE)),
    "a card of 2^28 points": ("model.json", lambda: _preprocess(2**28)),
    "a card without scores": ("model.json", lambda: _card(metrics={})),
    "a card of scores that are none": (
        "model.json", lambda: _card(metrics={"network": {"n": "x", "rmse": [], "r2": None}})
    ),
    "a card whose selection is a program": (
        "model.json",
        lambda: _card(domain={"RRab": _domain() | {"select": "__import__('os').abort()"}}),
    ),
    "a card of an error that is none": (
        "model.json", lambda: _card(calibration=[{"floor": float("nan")}] * 3)
    ),
    "an array of 2^60 numbers": ("ridge", lambda: _npz(points=_npy(f"({HUGE}, 16)"))),
    "an array of 2^33 numbers": ("ridge", lambda: _npz(points=_npy(f"({2**33}, 16)"))),
    "an array of zeros": (
        "ridge",
        lambda: _npz(zipfile.ZIP_DEFLATED, points=_npy(f"({2**20}, 16)", tail=bytes(2**27))),
    ),
    "an array whose header nests": ("ridge", lambda: _npz(points=_npy("(" * 5_000))),
    "an array of pickles": (
        "ridge",
        lambda: _npz(points=_npy("(1,)", "|O", b"cos\nsystem\n(S'touch executed'\ntR.")),
    ),
    "weights of 2^40 numbers": (
        "weights",
        lambda: _weights(_replace(_KERNEL, shape=(2**20, 2**20), dtype="f4", chunks=(1024, 1024))),
    ),
    "weights of zeros, packed": (
        "weights",
        lambda: _weights(
            _replace(_KERNEL, shape=(2**15, 2**15), dtype="f4", compression="gzip", fillvalue=1)
        ),
    ),
    "weights that are elsewhere": (
        "weights",
        lambda: _weights(
            _replace(_KERNEL, shape=(2, 12), dtype="f4", external=[("/etc/passwd", 0, 96)])
        ),
    ),
    "a prior of lists within lists": ("prior", lambda: b'{"mean":' + b"[" * 1_000_000),
    "a manifest of lists within lists": ("manifest", lambda: b"[" * 1_000_000),
    "a claim of lists within lists": ("claim", lambda: b"[" * 1_000_000),
    "an event of lists within lists": ("events", lambda: b"[" * 1_000_000 + b"\n"),
    "a driver of lists within lists": ("driver", lambda: b"[" * 1_000_000),
    "a log of lists within lists": ("log", lambda: b"[" * 1_000_000 + b"\n"),
}  # fmt: skip
"""By what they are: the reader, and what makes the bytes."""


PASSED_OVER = {"an event of lists within lists", "a driver of lists within lists",
               "a log of lists within lists"}  # fmt: skip
"""Lines of files that a process which was killed may have left; no sentence is said of them."""

MEMORY = 8 << 30
"""Bytes of address space in which all are read."""

SECONDS = 60
"""Of processor time that one may take."""


def main() -> None:
    """Read all bombs in this process; print what is said of each, and the most memory used."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for name, (reader, make) in BOMBS.items():
            content = make()
            signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)  # ends the process
            print(json.dumps({"name": name, "said": READERS[reader](content, Path(folder) / "x")}))
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"megabytes": (peak - before) // 1024}))


if __name__ == "__main__":
    main()
