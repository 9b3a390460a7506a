"""A stand-in for the Gaia archive: an HTTP server that speaks its protocol, and errs on demand.

TAP with asynchronous jobs, whose queries SQLite evaluates, and the DataLink server's zips of
VOTables. Nothing of the client is replaced: it is astroquery that talks to it.
"""

import gzip
import io
import re
import socket
import sqlite3
import ssl
import struct
import threading
import zipfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import numpy as np
import pandas as pd

FAULTS = [
    "500", "502", "reset", "stall", "short", "wrong", "truncated", "page", "renamed", "drip",
]  # fmt: skip
"""What the DataLink server does wrong, a call each."""

PAGE = "<html><head><title>Gaia</title></head><body>Archive down for maintenance</body></html>"

_MEASURED = [
    "int_average_g", "peak_to_peak_g", "phi31_g", "phi31_g_error", "pf_error", "p1_o_error",
    "metallicity", "metallicity_error", "g_absorption", "g_absorption_error",
]  # fmt: skip
_OF_ANY_SOURCE = [
    "parallax", "parallax_error", "pmra", "pmra_error", "pmdec", "pmdec_error", "ruwe",
    "phot_g_mean_mag", "bp_rp", "phot_bp_rp_excess_factor", "ag_gspphot",
]  # fmt: skip

TABLES = {
    "gaia_source": [
        "source_id", "ra", "dec", "random_index", "has_epoch_photometry", *_OF_ANY_SOURCE,
    ],
    "vari_rrlyrae": [
        "source_id", "best_classification", "pf", "p1_o", "epoch_g", "num_clean_epochs_g",
        *_MEASURED,
    ],
}  # fmt: skip
"""Tables of the schema gaiadr3, and their columns."""

RELEASE = Path(__file__).parents[1] / "rrl_batch/sources/archive/releases/gaia_dr3.toml"

_VOTABLE = (
    '<?xml version="1.0"?>\n<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
)
_TYPES = {"int64": "long", "float64": "double", "bool": "boolean", "object": "char"}
_UWS = """<?xml version="1.0"?>
<uws:job xmlns:uws="http://www.ivoa.net/xml/UWS/v1.0"><uws:jobId>{job}</uws:jobId>
<uws:phase>{phase}</uws:phase><uws:parameters>
<uws:parameter id="format">votable_gzip</uws:parameter></uws:parameters></uws:job>"""


Curves = dict[int, dict[str, np.ndarray]]


def impatient(path: Path, **access: float) -> Path:
    """Write the release, with waits that suit a test."""
    quick = {
        "first_wait": 0.05, "longest_wait": 0.2, "silence": 20.0, "longest_call": 30.0, "poll": 0.1,
    } | access  # fmt: skip
    text = RELEASE.read_text()
    for name, value in quick.items():
        text, n = re.subn(rf"(?m)^{name} = [\d.]+", f"{name} = {value}", text)
        assert n == 1
    path.write_text(text)
    return path


def sample(n: int, seed: int = 0, epochs: tuple[int, int] = (5, 12)) -> tuple[pd.DataFrame, Curves]:
    """Make up stars, as the archive's tables have them, and their light curves."""
    rng = np.random.default_rng(seed)
    ids = np.unique(rng.integers(0, 12 << 57, n + n // 100 + 10))
    ids = rng.permutation(ids)[:n]
    mode = rng.choice(["RRab", "RRc", "RRd"], n, p=[0.7, 0.25, 0.05])
    overtone = mode != "RRab"
    period = np.where(overtone, rng.uniform(0.25, 0.4, n), rng.uniform(0.45, 0.8, n))
    stars = pd.DataFrame(
        {
            "source_id": ids,
            "ra": rng.uniform(0, 360, n),
            "dec": np.degrees(np.arcsin(rng.uniform(-1, 1, n))),
            "best_classification": mode,
            "pf": np.where(overtone, np.nan, period),
            "p1_o": np.where(overtone, period, np.nan),
            "epoch_g": rng.uniform(1700, 1701, n),
            "num_clean_epochs_g": rng.integers(*epochs, n),
            "random_index": rng.permutation(n),
            "has_epoch_photometry": np.ones(n, bool),
        }
    )
    for name in (*_MEASURED, *_OF_ANY_SOURCE):
        stars[name] = rng.uniform(0, 2, n)
    offsets = np.concatenate([[0], np.cumsum(stars["num_clean_epochs_g"])])
    total = int(offsets[-1])
    mag = rng.normal(17, 0.3, total).astype(np.float32).astype(float)
    mag[rng.random(total) < 0.03] = np.nan
    curves = {
        "time": rng.uniform(1700, 2700, total),
        "mag": mag,
        "flux_over_error": rng.uniform(20, 300, total),
        "reject": rng.random(total) < 0.1,
    }
    return stars, {
        int(star): {name: values[a:b] for name, values in curves.items()}
        for star, a, b in zip(ids, offsets, offsets[1:], strict=False)
    }


@dataclass
class Call:
    """A call that was answered, or not."""

    ids: list[int]
    fault: str | None
    form: Mapping[str, str]


@dataclass
class StandIn:
    """The archive's content and conduct.

    Parameters
    ----------
    stars : pandas.DataFrame
        Columns of the two tables.
    curves : dict
        Light curves by star; a star without is absent.
    faults : deque of str
        What the next DataLink calls suffer, of `FAULTS`.
    tap_faults : dict of str to list of str
        What the next requests for "submit", "phase" or "result" suffer.
    structures : tuple of str
        Data structures that it knows.
    refuses_early : bool
        Whether a query that is wrong is refused at once, or by a job that ends in an error.
    """

    stars: pd.DataFrame
    curves: Curves
    faults: deque[str] = field(default_factory=deque)
    tap_faults: dict[str, list[str]] = field(default_factory=dict)
    structures: tuple[str, ...] = ("RAW", "INDIVIDUAL")
    refuses_early: bool = True
    slow_seconds: float = 0.0
    overflow: bool = False
    url: str = ""
    calls: list[Call] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self.jobs: dict[str, tuple[str, list[str]]] = {}
        self.results: dict[str, bytes] = {}
        self.lock = threading.RLock()
        self.closing = threading.Event()
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute("ATTACH ':memory:' AS gaiadr3")
        for table, columns in TABLES.items():
            names = ", ".join(columns)
            self._database.execute(f"CREATE TABLE gaiadr3.{table} ({names})")
            rows = self.stars[columns].astype(object).where(self.stars[columns].notna(), None)
            marks = ", ".join("?" * len(columns))
            self._database.executemany(
                f"INSERT INTO gaiadr3.{table} VALUES ({marks})",  # noqa: S608
                rows.itertuples(index=False),
            )

    def table(self, query: str) -> pd.DataFrame:
        """Evaluate a query of ours, which is SQL but for TOP."""
        top = re.match(r"SELECT TOP (\d+) ", query)
        sql = query.replace(top[0], "SELECT ", 1) + f" LIMIT {top[1]}" if top else query
        with self.lock:
            rows = self._database.execute(sql)
            names = [column[0] for column in rows.description]
            table = pd.DataFrame(rows.fetchall(), columns=names)
        types = self.stars.dtypes
        return table.astype({name: types[name] for name in names if name in types})


def table_document(table: pd.DataFrame, *, overflow: bool = False) -> str:
    """Return a VOTable of single values."""
    fields, columns = [], []
    for name, values in table.items():
        kind = _TYPES[str(values.dtype) if str(values.dtype) in _TYPES else "object"]
        size = ' arraysize="*"' if kind == "char" else ""
        # what the archive gives as the unit of a time
        unit = ' unit="Time[Barycentric JD in TCB - 2455197.5 (day)]"' if name == "epoch_g" else ""
        fields.append(f'<FIELD name="{name}" datatype="{kind}"{size}{unit}/>')
        texts = values.map({True: "T", False: "F"}) if kind == "boolean" else values
        columns.append(["" if pd.isna(v) else escape(str(v)) for v in texts])
    rows = ("".join(f"<TD>{v}</TD>" for v in row) for row in zip(*columns, strict=True))
    data = "".join(f"<TR>{row}</TR>" for row in rows)
    end = '<INFO name="QUERY_STATUS" value="OVERFLOW"/>' if overflow else ""
    return (
        f'{_VOTABLE}<RESOURCE type="results"><INFO name="QUERY_STATUS" value="OK"/>'
        f"<TABLE>{''.join(fields)}<DATA><TABLEDATA>{data}</TABLEDATA></DATA></TABLE>{end}"
        f"</RESOURCE></VOTABLE>"
    )


def raw_document(
    curves: Mapping[int, Any], ids: Sequence[int], time_column: str, others: int = 1
) -> str:
    """Return the product in the structure RAW: a row a star, arrays as cells."""
    arrays = [time_column, "g_transit_mag", "g_transit_flux_over_error"]
    arrays += [f"g_transit_other_{i}" for i in range(others)]
    fields = [
        '<FIELD name="source_id" datatype="long"/>',
        '<FIELD name="n_transits" datatype="short"/>',
        *(f'<FIELD name="{name}" datatype="double" arraysize="*"/>' for name in arrays),
        '<FIELD name="variability_flag_g_reject" datatype="boolean" arraysize="*"/>',
    ]
    rows = []
    for star in ids:
        curve = curves[star]
        numbers = [
            " ".join(map(repr, curve[name].tolist())).replace("nan", "NaN")
            for name in ("time", "mag", "flux_over_error")
        ]
        flags = " ".join("T" if reject else "F" for reject in curve["reject"])
        cells = [star, len(curve["time"]), *numbers, *numbers[:1] * others, flags]
        rows.append(f"<TR>{''.join(f'<TD>{cell}</TD>' for cell in cells)}</TR>")
    return (
        f'{_VOTABLE}<RESOURCE type="results"><TABLE>{"".join(fields)}<DATA><TABLEDATA>'
        f"{''.join(rows)}</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    )


def individual_document(star: int, curve: Mapping[str, Any]) -> str:
    """Return the product of a star in the structure INDIVIDUAL: a row a transit, in all bands."""
    n = len(curve["time"])
    one = pd.DataFrame(
        {
            "source_id": star,
            "transit_id": np.arange(n),
            "band": "G",
            "time": np.where(np.isnan(curve["mag"]), np.nan, curve["time"]),
            "mag": curve["mag"],
            "flux": curve["flux_over_error"],
            "flux_over_error": curve["flux_over_error"],
            "rejected_by_photometry": np.isnan(curve["mag"]),
            "rejected_by_variability": curve["reject"],
        }
    )
    return table_document(pd.concat([one, one.assign(band="BP")]))


@contextmanager
def serving(archive: StandIn, certificates: Path | None = None) -> Iterator[StandIn]:
    """Serve an archive on loopback."""
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Handler", (_Handler,), {"archive": archive})
    )
    server.daemon_threads = True
    scheme = "http"
    if certificates:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "tls.crt", certificates / "tls.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    archive.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield archive
    finally:
        archive.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    archive: StandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        with suppress(OSError):  # whoever asked has gone
            super().handle()

    def do_GET(self) -> None:
        parts = urlsplit(self.path).path.strip("/").split("/")
        match parts:
            case ["tap-server", "tap", "async", job]:
                self._of_job(job, lambda: _UWS.format(job=job, phase=self._phase(job)).encode())
            case ["tap-server", "tap", "async", job, "phase"]:
                if not self._tap_fault("phase"):
                    self._of_job(job, lambda: self._phase(job, moves=True).encode())
            case ["tap-server", "tap", "async", job, "error"]:
                self._of_job(job, lambda: self._error_of(job).encode())
            case ["tap-server", "tap", "async", job, "results", "result"]:
                self._of_job(job, lambda: self._result(job), "result")
            case _:
                self._send(404, b"no such thing")

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        form = {k: v[0] for k, v in parse_qs(self.rfile.read(length).decode()).items()}
        match urlsplit(self.path).path.strip("/").split("/"):
            case ["tap-server", "tap", "async"]:
                self._submit(form)
            case ["data-server", "data"]:
                self._data(form)
            case [server, "login"]:
                if (form["username"], form["password"]) == ("ada", "let me in"):
                    self.archive.logins.append(server)
                    self._send(200, b"OK", headers={"Set-Cookie": "JSESSIONID=1; Path=/"})
                else:
                    self._send(401, b"<html><body>Bad credentials</body></html>")
            case _:
                self._send(404, b"no such thing")

    def _submit(self, form: Mapping[str, str]) -> None:
        if self._tap_fault("submit"):
            return
        assert (form["LANG"], form["PHASE"], form["FORMAT"]) == ("ADQL", "RUN", "votable_gzip")
        query, archive = form["QUERY"], self.archive
        archive.queries.append(query)
        error = self._error(query)
        if error and archive.refuses_early:
            self._send(400, error.encode(), "application/x-votable+xml")
            return
        with archive.lock:
            job = f"{len(archive.jobs) + 1}O"
            end = "ERROR" if error else "COMPLETED"
            archive.jobs[job] = (query, ["QUEUED", "EXECUTING", end])
        self._send(303, b"", headers={"Location": f"{archive.url}/tap-server/tap/async/{job}"})

    def _error(self, query: str) -> str:
        try:
            self.archive.table(query)
        except sqlite3.Error as error:
            said = escape(f"Cannot parse query: {error}")
            return (
                f'{_VOTABLE}<RESOURCE type="results"><INFO name="QUERY_STATUS" value="ERROR">'
                f"{said}</INFO></RESOURCE></VOTABLE>"
            )
        return ""

    def _error_of(self, job: str) -> str:
        return self._error(self.archive.jobs[job][0])

    def _of_job(self, job: str, content: Any, fault: str = "") -> None:
        if job not in self.archive.jobs:
            self._send(404, b"<html><body>No such job</body></html>")
        elif not (fault and self._tap_fault(fault, content)):
            self._send(200, content())

    def _phase(self, job: str, moves: bool = False) -> str:
        phases = self.archive.jobs[job][1]
        return phases.pop(0) if moves and len(phases) > 1 else phases[0]

    def _result(self, job: str) -> bytes:
        archive, query = self.archive, self.archive.jobs[job][0]
        with archive.lock:
            if query not in archive.results:
                document = table_document(archive.table(query), overflow=archive.overflow)
                archive.results[query] = gzip.compress(document.encode(), 1)
            return archive.results[query]

    def _tap_fault(self, what: str, content: Any = None) -> bool:
        with self.archive.lock:
            faults = self.archive.tap_faults.get(what, [])
            fault = faults.pop(0) if faults else None
        if fault:
            self._err(fault, content() if content else b"")
        return fault is not None

    def _data(self, form: Mapping[str, str]) -> None:
        archive = self.archive
        assert form["RETRIEVAL_TYPE"] == "EPOCH_PHOTOMETRY"
        assert form["RELEASE"] == "Gaia DR3"
        ids = [int(star) for star in form["ID"].split(",")]
        structure = form["DATA_STRUCTURE"]
        if structure not in archive.structures:
            self._send(400, b"<html><body>Invalid value of DATA_STRUCTURE</body></html>")
            return
        with archive.lock:
            fault = archive.faults.popleft() if archive.faults else None
            archive.calls.append(Call(ids, fault, form))
            archive.at_once += 1
            archive.most_at_once = max(archive.most_at_once, archive.at_once)
        try:
            archive.closing.wait(archive.slow_seconds)
            self._answer(ids, fault, structure)
        finally:
            with archive.lock:
                archive.at_once -= 1

    def _answer(self, ids: list[int], fault: str | None, structure: str) -> None:
        curves = self.archive.curves
        there = [star for star in reversed(ids) if star in curves]
        if fault == "short":
            there = there[: len(there) * 3 // 5]
        elif fault == "wrong":
            others = [star for star in curves if star not in set(ids)][:3]
            there = [*others, *there, *there[:4]]
        time_column = "g_obs_time" if fault == "renamed" else "g_transit_time"
        content = products(curves, there, structure, time_column)
        if fault in (None, "short", "wrong", "renamed"):
            self._send(200, content, "application/zip")
        else:
            self._err(fault, content)

    def _err(self, fault: str, content: bytes) -> None:
        if fault in ("500", "502", "503"):
            self._send(int(fault), f"<html><body>Error {fault}</body></html>".encode(), "text/html")
        elif fault == "page":
            self._send(200, PAGE.encode(), "text/html")
        elif fault == "truncated":
            self._send(200, content[: len(content) // 2], "application/zip")
        elif fault == "stall":
            self.archive.closing.wait()
        else:
            self._begin(200, len(content), "application/zip", {})
            if fault == "reset":
                self.wfile.write(content[: len(content) // 2])
                # no farewell: the other side gets a reset
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
            else:
                assert fault == "drip"
                for i in range(len(content)):
                    self.wfile.write(content[i : i + 1])
                    self.wfile.flush()
                    if self.archive.closing.wait(0.2):
                        break
        self.close_connection = True

    def _send(
        self, status: int, content: bytes, kind: str = "text/plain",
        headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self._begin(status, len(content), kind, headers or {})
        self.wfile.write(content)

    def _begin(self, status: int, length: int, kind: str, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in (
            {"Content-Type": kind, "Content-Length": str(length)} | dict(headers)
        ).items():
            self.send_header(name, value)
        self.end_headers()


def products(
    curves: Curves, ids: Sequence[int], structure: str, time_column: str = "g_transit_time"
) -> bytes:
    """Return the zip of the products of some stars."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        if structure == "INDIVIDUAL":
            for i, star in enumerate(ids):
                name = (
                    f"EPOCH_PHOTOMETRY-Gaia DR3 {star}{f'_{i}' if ids.index(star) < i else ''}.xml"
                )
                archive.writestr(name, individual_document(star, curves[star]))
        elif ids:
            document = raw_document(curves, ids, time_column)
            archive.writestr("EPOCH_PHOTOMETRY_RAW.xml", document)
    return packed.getvalue()
