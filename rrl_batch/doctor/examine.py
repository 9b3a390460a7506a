"""All checks, in the order in which they are made."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from rrl_batch.cluster.connect import connected, wait_for_workers
from rrl_batch.doctor import certificates, cluster, shared_files
from rrl_batch.doctor.clocks import clocks
from rrl_batch.doctor.finding import Finding, fails, warning
from rrl_batch.doctor.gpus import gpus
from rrl_batch.doctor.inputs import inputs
from rrl_batch.doctor.machine import cores_and_memory, kernels
from rrl_batch.doctor.room import room
from rrl_batch.doctor.software import installed, same_everywhere
from rrl_batch.doctor.subject import Subject
from rrl_batch.errors import RunError, UserError

if TYPE_CHECKING:
    from distributed import Client

Check = Callable[[Subject], Iterable[Finding]]
Line = tuple[str, Finding]

HERE: Mapping[str, Check] = {
    "software": installed,
    "input": inputs,
    "disk": room,
    "TLS": certificates.of_the_client,
}
"""What is looked at from this machine alone."""

CLUSTER: Mapping[str, Check] = {"scheduler": cluster.scheduler, "versions": same_everywhere}
"""What has to be well before anything else on the cluster can be looked at."""

HOSTS: Mapping[str, Check] = {"machine": cores_and_memory, "kernels": kernels, "GPU": gpus}
"""What is looked at on this machine and each host of the cluster."""

WORKERS: Mapping[str, Check] = {
    "threads": cluster.threads,
    "memory": cluster.memory,
    "backend": cluster.backend,
    "files": shared_files.written,
    "files read": shared_files.read,
    "clocks": clocks,
    "TLS there": certificates.of_the_cluster,
    "dashboard": cluster.dashboard,
}
"""What is looked at on the workers."""


def examine(subject: Subject, *, with_cluster: bool) -> Iterator[Line]:
    """Make all checks; a fault in one does not keep the others from being made.

    Parameters
    ----------
    subject : Subject
        What is examined, without a client.
    with_cluster : bool
        Whether its cluster is, too.

    Yields
    ------
    str, Finding
        Name of the check, and what it has found.
    """
    yield from _made(HERE, subject)
    with ExitStack() as stack:
        if with_cluster:
            client, faults = _connect(stack, subject)
            yield from faults
            if client is not None:
                subject = replace(subject, client=client)
                found = list(_made(CLUSTER, subject))
                yield from found
                if any(finding.state == "fails" for _, finding in found):
                    subject = replace(subject, client=None)
            if subject.client is None:
                yield (
                    "cluster",
                    warning("not examined any further; mend what fails, and ask again."),
                )
        yield from _made(HOSTS, subject)
        if subject.client is not None:
            yield from _made(WORKERS, subject)


def _connect(stack: ExitStack, subject: Subject) -> "tuple[Client | None, list[Line]]":
    """Connect to the subject's cluster until the stack ends, or return why that is not possible."""
    try:
        client = stack.enter_context(connected(subject.cluster))
        if subject.cluster.address is None:
            wait_for_workers(client, subject.cluster)
    except (UserError, RunError) as error:
        return None, [("scheduler", fails(str(error)))]
    return client, []


def _made(checks: Mapping[str, Check], subject: Subject) -> Iterator[Line]:
    for name, check in checks.items():
        try:
            for finding in check(subject):
                yield name, finding
        except (UserError, RunError) as error:
            yield name, fails(str(error))
        except Exception as error:
            yield name, fails(f"could not be looked at ({type(error).__name__}: {error}).")
