"""The process that speaks to the archive, by astroquery: it does one thing, and ends.

astroquery prints, writes into the working directory, and waits for ever. In a process of its own
it can do all that side by side with others, and be ended at any time. A request is a line of JSON
on the standard input, which stays open as long as the answer is wanted; the answer is a line of
JSON on what was the standard output.
"""

import errno
import json
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

_WAITING = ("PENDING", "QUEUED", "EXECUTING", "HELD", "SUSPENDED", "UNKNOWN")
_ENDED = ("ERROR", "ABORTED")
_REFUSED = range(400, 500)
_LATER = (408, 425, 429)
_GONE = (404, 410)
_LONGEST_MESSAGE = 20_000

Request = dict[str, Any]

Begin = Callable[[], None]
"""Is called when the answer is on its way, from when on it may take so long."""


class _ArchiveError(Exception):
    """Something that the archive has said; `kind` is what it means for who asked."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class _Connection:
    """One of the archive's two servers."""

    def __init__(self, request: Request, context: str) -> None:
        from astroquery.utils.tap import TapPlus
        from astroquery.utils.tap.conn.tapconn import TapConn

        url = urlsplit(request["url"])
        secure = url.scheme == "https"
        port = url.port or (443 if secure else 80)
        self.connection = TapConn(
            secure, url.hostname, server_context=context or None, port=port, sslport=port,
            tap_context="tap", data_context="data", datalink_context="datalink",
        )  # fmt: skip
        # as astroquery.gaia has it, which asks the archive for messages whenever it is imported,
        # and takes apart every product that it gets, with all columns
        self.tap = TapPlus(url=request["url"], connhandler=self.connection)
        if request["user"]:
            self.said(lambda: self.tap.login(user=request["user"], password=request["password"]))

    def said(self, call: Callable[[], Any]) -> Any:
        """Return what a call returns; tell apart why it fails."""
        from requests import HTTPError

        try:
            return call()
        except HTTPError as error:
            raise _ArchiveError(self.kind(), str(error)) from None

    def kind(self) -> str:
        """Return what the status of the last response means."""
        status = self.connection.get_response_status()
        if status in _GONE:
            return "gone"
        return "refused" if status in _REFUSED and status not in _LATER else "failed"


def _submit(request: Request, begin: Begin) -> dict[str, Any]:
    """Start a query; it goes on by itself."""
    from astroquery.utils.tap import taputils
    from requests import HTTPError

    server = _Connection(request, request["tap"])
    begin()
    try:
        job = server.tap.launch_job_async(
            request["query"], name="rrl-batch", output_format=request["format"],
            dump_to_file=True, background=True,
        )  # fmt: skip
    except HTTPError as error:
        said = str(error)
        # only in a file does astroquery keep what the archive says
        for kept in Path().glob("*.error"):
            status = server.connection.get_response_status()
            said = taputils.parse_http_response_error(kept.read_text(errors="replace"), status)
        # there is no address to be gone: what is not there is the service
        kind = server.kind()
        raise _ArchiveError("refused" if kind == "gone" else kind, said) from None
    return {"job": job.jobid}


def _result(request: Request, begin: Begin) -> dict[str, Any]:
    """Wait for a query, and put the table that it has made into a file."""
    from requests import HTTPError

    server = _Connection(request, request["tap"])
    job = server.said(lambda: server.tap.load_async_job(jobid=request["job"], load_results=False))
    if server.said(lambda: job.get_phase(update=True)) == "PENDING":
        with suppress(HTTPError):  # some servers wait to be told, others have begun by now
            job.start()
    while (phase := server.said(lambda: job.get_phase(update=True)).strip().upper()) in _WAITING:
        time.sleep(request["poll"])
    if phase not in ("COMPLETED", *_ENDED):
        raise _ArchiveError("failed", f"no phase of a job, but {phase}")
    if phase in _ENDED:
        said = server.said(job.get_error) if phase == "ERROR" else f"the job is {phase}"
        raise _ArchiveError("ended", said)
    begin()
    job.outputFileUser = request["file"]
    server.said(job.save_results)
    return {}


def _products(request: Request, begin: Begin) -> dict[str, Any]:
    """Put the DataLink products of some stars into a file, a zip."""
    server = _Connection(request, request["data"])
    begin()
    *others, last = request["structures"]
    for structure in (*others, last):
        parameters = {
            "VALID_DATA": "false",
            "ID": ",".join(map(str, request["ids"])),
            "RELEASE": request["release"],
            "DATA_STRUCTURE": structure,
            "FORMAT": "votable",
            "RETRIEVAL_TYPE": request["product"],
            "USE_ZIP_ALWAYS": "true",
        }
        load = partial(server.tap.load_data, params_dict=parameters, output_file=request["file"])
        try:
            server.said(load)
            break
        except _ArchiveError as error:
            if error.kind != "refused" or structure == last:
                raise
    return {}


_TASKS = {"submit": _submit, "result": _result, "products": _products}


def _answer(request: Request, begin: Begin) -> dict[str, Any]:
    socket.setdefaulttimeout(request["silence"])
    try:
        return _TASKS[request["do"]](request, begin)
    except _ArchiveError as error:
        return {"error": error.kind, "message": str(error)}
    except ssl.SSLCertVerificationError as error:
        return {"error": "refused", "message": f"its certificate is not trusted: {error}"}
    except Exception as error:  # whatever astroquery makes of what it gets
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return {"error": "disk", "message": str(error)}
        if isinstance(error, ConnectionRefusedError | socket.gaierror):
            # no server is there, or no such name: that is no word of the archive
            return {"error": "nobody", "message": f"nobody answers there: {error.strerror}"}
        return {"error": "failed", "message": f"{type(error).__name__}: {error}"}


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def main() -> None:
    """Answer the request on the standard input."""
    request = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what astroquery prints is no answer

    def say(said: dict[str, Any]) -> NoReturn:
        if "message" in said:
            said["message"] = said["message"][:_LONGEST_MESSAGE]  # it may be a whole page
        answer.write(json.dumps(said) + "\n")
        answer.flush()
        os._exit(0)  # other threads may never end

    longest = request["longest"]
    late = {"error": "failed", "message": f"no complete answer within {longest:g} s"}
    say(_answer(request, threading.Timer(longest, say, [late]).start))


if __name__ == "__main__":
    main()
