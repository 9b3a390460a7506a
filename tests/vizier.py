"""A stand-in for VizieR: an HTTPS server that answers what astroquery asks, and errs on demand."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import pandas as pd

PAGE = "<html><body>VizieR is down for maintenance</body></html>"
_TYPES = {"int64": "long", "Int64": "long", "float64": "double", "float32": "float"}


@dataclass
class Vizier:
    """The tables that the server has, by name, and what it does wrong.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        Tables by name; `units` in the attributes of a frame are those of its columns.
    fault : str
        What it does wrong: 500, page, truncated, reset, stall or overflow; nothing if empty.
    """

    tables: Mapping[str, pd.DataFrame]
    fault: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    address: str = ""

    def answer(self, source: str) -> str:
        """Return the VOTable for a table, or for all tables of a catalogue."""
        found = {
            name: table
            for name, table in self.tables.items()
            if name == source or name.startswith(f"{source}/")
        }
        infos = '<INFO ID="VERSION" name="votable-version" value="1.99+ (14-Oct-2013)"/>\n'
        if not found:
            infos += f'<INFO ID="Errors" name="Errors" value="No table {escape(source)}"/>\n'
        if self.fault == "overflow":
            infos += '<INFO name="QUERY_STATUS" value="OVERFLOW"/>\n'
        body = "".join(_table(name, table) for name, table in found.items())
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
            f'{infos}<RESOURCE ID="yCat" name="{escape(source)}">\n{body}</RESOURCE>\n</VOTABLE>\n'
        )


def _table(name: str, table: pd.DataFrame) -> str:
    units = table.attrs.get("units", {})
    fields = []
    for i, column in enumerate(table.columns):
        kind = _TYPES.get(str(table[column].dtype), "char")
        size = ' arraysize="*"' if kind == "char" else ""
        unit = f' unit="{units[column]}"' if column in units else ""
        fields.append(
            f'<FIELD ID="c{i}" name={quoteattr(column)} datatype="{kind}"{size}{unit} ucd="x"/>'
        )
    rows = "\n".join(
        "<TR>" + "".join(f"<TD>{'' if pd.isna(v) else escape(str(v))}</TD>" for v in row) + "</TR>"
        for row in table.astype(object).itertuples(index=False)
    )
    return (
        f'<TABLE ID="t_{abs(hash(name))}" name="{escape(name)}">\n' + "\n".join(fields)
        + f"\n<DATA><TABLEDATA>\n{rows}\n</TABLEDATA></DATA>\n</TABLE>\n"
    )  # fmt: skip


@contextmanager
def serving(vizier: Vizier, certificate: Path) -> Iterator[Vizier]:
    """Serve on loopback, with a certificate's folder (`tls.crt` and `tls.key`)."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            asked = dict(line.partition("=")[::2] for line in text.splitlines())
            vizier.asked.append(asked | {"path": self.path})
            content = vizier.answer(asked["-source"]).encode()
            if vizier.fault == "stall":
                time.sleep(3)
            if vizier.fault == "reset":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if vizier.fault in ("500", "page"):
                content = PAGE.encode()
            if vizier.fault == "truncated":
                content = content[: len(content) // 2]
            self.send_response(500 if vizier.fault == "500" else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def handle(self) -> None:
            with suppress(OSError):  # a client that has gone
                super().handle()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "tls.crt", certificate / "tls.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    vizier.address = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield vizier
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
