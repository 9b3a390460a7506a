"""Calls to the archive: each a process with a time-out, given again while the archive fails."""

import errno
import html
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_exponential_jitter

from rrl_batch.errors import RunError, UserError
from rrl_batch.sources.archive.login import Login
from rrl_batch.sources.archive.release import Release
from rrl_batch.storage.commit import replacing

T = TypeVar("T")

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2
_LONGEST_MESSAGE = 500


class FailedCallError(Exception):
    """The archive has failed, or sent what cannot be read: it may do better next time."""


class NobodyAnswersError(FailedCallError):
    """No server is at the address: it may be wrong, or the network is."""


class EndedQueryError(Exception):
    """The archive has ended a query, or knows it no more; the message is its own."""


def plainly(text: str) -> str:
    """Return what the archive says in a line, without the markup of a page."""
    page = re.sub(r"(?s)<(script|style)\b.*?</\1>", " ", text)
    words = html.unescape(re.sub(r"<[^>]*>", " ", page)).split()
    # astroquery takes the status of the response that tells of an error for the error's
    line = re.sub(r"^Error 2\d\d: ", "", " ".join(words)).rstrip(".")
    return line if len(line) <= _LONGEST_MESSAGE else f"{line[:_LONGEST_MESSAGE]}…"


@dataclass(frozen=True)
class Archive:
    """The archive, as it answers us.

    Parameters
    ----------
    release : Release
        Where it is, and how much is asked of it.
    login : Login or None
        Where credentials are; without, we are anonymous.
    lease : callable
        Gives a context in which the products of stars may be asked for.
    look : callable
        Is called several times a second while the archive is waited for; what it raises ends that.
    """

    release: Release
    login: Login | None
    lease: Callable[[], AbstractContextManager[object]] = nullcontext
    look: Callable[[], None] = lambda: None

    def submit(self, query: str) -> str:
        """Start a query, and return the identifier of its job."""
        return str(self._ask("submit", query=query, format=self.release.stars.format)["job"])

    def result(self, job: str, file: Path) -> None:
        """Wait for a query, and put its table into a file."""
        self._ask("result", job=job, file=str(file), poll=self.release.access.poll)

    def products(self, ids: Sequence[int], file: Path) -> None:
        """Put the products of some stars into a file."""
        curves = self.release.light_curves
        with self.lease():
            self._ask(
                "products", ids=list(ids), file=str(file), release=self.release.name,
                product=curves.product, structures=curves.structures,
            )  # fmt: skip

    def patiently(self, call: Callable[[], T], attempts: int | None = None) -> T:
        """Call again what fails, after waits that double and vary by chance.

        Parameters
        ----------
        call : callable
            Raises FailedCallError if it may go better next time.
        attempts : int, optional
            How often it is called, if not as often as the release has it.

        Raises
        ------
        RunError
            If the last attempt has failed, too.
        """
        access = self.release.access
        most = min(attempts or access.attempts, access.attempts)

        def tell(state: RetryCallState) -> None:
            seconds = state.next_action.sleep if state.next_action else 0
            log.warning(
                "%s; attempt %d of %d, the next in %.0f s.",
                self._said(state), state.attempt_number, most, seconds,
            )  # fmt: skip

        def give_up(state: RetryCallState) -> T:
            remedy = "Give the same command again later"
            if isinstance(_error_of(state), NobodyAnswersError):
                remedy = (
                    "Check the network and the address (--archive), then give the command again"
                )
            raise RunError(
                f"{self._said(state)}; {most} attempts came to nothing. {remedy}; what has "
                f"arrived stays."
            )

        retrying = Retrying(
            stop=stop_after_attempt(most),
            wait=wait_exponential_jitter(
                multiplier=access.first_wait, max=access.longest_wait, jitter=access.first_wait
            ),
            retry=retry_if_exception_type(FailedCallError),
            sleep=self._sleep,
            before_sleep=tell,
            retry_error_callback=give_up,
        )
        return retrying(call)

    def wait(self) -> None:
        """Let the archive rest, for as long as before the second attempt of a call."""
        self._sleep(self.release.access.first_wait)

    def _said(self, state: RetryCallState) -> str:
        return f"The archive at {self.release.server.url} has failed ({_error_of(state)})"

    def _sleep(self, seconds: float) -> None:
        self.look()
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.look()
            time.sleep(min(left, _LOOK_SECONDS))

    def _ask(self, what: str, **request: Any) -> dict[str, Any]:
        """Let a process of its own speak to the archive, and return its answer."""
        server, access = self.release.server, self.release.access
        user, password = self.login.read() if self.login else (None, None)
        answer = self._answer_to(
            {
                "do": what, "url": server.url, "tap": server.tap, "data": server.data,
                "silence": access.silence, "longest": access.longest_call,
                "user": user, "password": password,
            } | request
        )  # fmt: skip
        kind, message = answer.get("error"), plainly(answer.get("message", ""))
        if what == "result" and kind in ("gone", "ended"):
            raise EndedQueryError(message)
        if kind in ("refused", "gone"):
            raise UserError(f"The archive at {server.url} refuses what is asked of it: {message}.")
        if kind == "disk":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if kind == "nobody":
            raise NobodyAnswersError(message)
        if kind:
            raise FailedCallError(message)
        return answer

    def _answer_to(self, request: dict[str, Any]) -> dict[str, Any]:
        with _client() as (process, errors):
            assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            while process.poll() is None:
                self.look()
                time.sleep(_LOOK_SECONDS)
            try:
                answer: dict[str, Any] = json.loads(process.stdout.read())
            except ValueError:
                errors.seek(0)
                last = errors.read().decode(errors="replace").strip().splitlines()[-1:]
                reason = last[0] if last else f"exit status {process.returncode}"
                raise FailedCallError(f"astroquery came to an end: {reason}") from None
        return answer


@contextmanager
def _client() -> Iterator[tuple["subprocess.Popen[bytes]", Any]]:
    """Start the process that speaks to the archive, in a folder that is gone with it."""
    command = [sys.executable, "-m", "rrl_batch.sources.archive.client"]
    with (
        tempfile.TemporaryDirectory(prefix="rrl-batch-") as folder,
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(  # noqa: S603 -- ourselves
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
        ) as process,
    ):  # fmt: skip
        try:
            yield process, errors
        finally:
            process.kill()


def _error_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def arriving(path: Path, fetch: Callable[[Path], None]) -> None:
    """Fetch a file, which has its name only when it is complete."""
    with replacing(path) as partial:
        fetch(partial)
