"""Dask's own report of what a job did where, kept with the job."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rrl_batch.errors import SchedulerLostError

if TYPE_CHECKING:
    from distributed import Client, performance_report

PERFORMANCE_FILE = "performance.html"

log = logging.getLogger(__name__)


@contextmanager
def performance_kept(client: "Client", folder: Path) -> Iterator[None]:
    """Write what the cluster did within the block as a page, also if the block fails.

    The page is whole: it needs no network. If the scheduler is gone in the end there is none, and
    a warning says so.

    Parameters
    ----------
    client : distributed.Client
        The cluster's client.
    folder : pathlib.Path
        Folder of the job, which gets `performance.html`.
    """
    from distributed import performance_report

    report = performance_report(filename=str(folder / PERFORMANCE_FILE), mode="inline")
    with client.as_current():
        report.__enter__()
    try:
        yield
    except SchedulerLostError:
        raise  # there is nobody to report
    except BaseException:
        _write(client, report)
        raise
    else:
        _write(client, report)


def _write(client: "Client", report: "performance_report") -> None:
    try:
        with client.as_current():
            report.__exit__(None, None, None)
    except Exception as error:
        log.warning("There is no report of the job's performance: %s.", error)
