"""Certificates: whether those of client, scheduler and workers can be used, and for how long."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rrl_batch.cluster.connect import security_of
from rrl_batch.cluster.security import README
from rrl_batch.doctor.finding import Finding, fails, ok, warning
from rrl_batch.doctor.subject import Subject

if TYPE_CHECKING:
    from distributed import Security
    from distributed.core import Server

_SOON_DAYS = 14
_LOOPBACK = ("//127.", "//localhost", "//[::1]")


class Certificate(NamedTuple):
    """A certificate's file, and the time for which it is valid."""

    path: str
    begins: datetime
    ends: datetime


def of_the_client(subject: Subject) -> Iterator[Finding]:
    """Look at the certificates that this client connects with."""
    found = _certificates(security_of(subject.cluster), "client")
    for certificate in found:
        yield _judged("this client", certificate)
    address = subject.cluster.address
    if not found and address and not any(host in address for host in _LOOPBACK):
        yield warning(
            f"none: what crosses hosts is not encrypted, and whoever reaches the scheduler may run "
            f"there what they like; {README} says how to make some."
        )


def of_the_cluster(subject: Subject) -> Iterator[Finding]:
    """Look at the certificates of scheduler and workers: of these, at the one that ends first."""
    client = subject.client
    if client is None or not client.scheduler.address.startswith("tls"):
        return
    for certificate in client.run_on_scheduler(_of_scheduler):
        yield _judged("the scheduler", certificate)
    theirs = [c for found in client.run(_of_worker).values() for c in found]
    if theirs:
        yield _judged(
            f"the first of {len(subject.workers)} workers", min(theirs, key=lambda c: c.ends)
        )


def _of_scheduler(dask_scheduler: "Server") -> list[Certificate]:
    return _certificates(dask_scheduler.security, "scheduler")


def _of_worker(dask_worker: "Server") -> list[Certificate]:
    return _certificates(dask_worker.security, "worker")


def _certificates(security: "Security", role: str) -> list[Certificate]:
    from cryptography import x509

    files = security.get_tls_config_for_role(role)
    found = []
    for path in filter(None, (files["ca_file"], files["cert"])):
        content = x509.load_pem_x509_certificates(Path(path).read_bytes())[0]
        found.append(Certificate(path, content.not_valid_before_utc, content.not_valid_after_utc))
    return found


def _judged(whose: str, certificate: Certificate) -> Finding:
    path, begins, ends = certificate
    now = datetime.now(UTC)
    if now < begins:
        return fails(
            f"{path} of {whose} is not valid before {begins:%Y-%m-%d %H:%M} UTC; compare the "
            f"clocks of this machine and of the one where it was made."
        )
    if ends < now:
        return fails(f"{path} of {whose} has expired on {ends:%Y-%m-%d}; renew it ({README}).")
    days = (ends - now).days
    if days < _SOON_DAYS:
        return warning(f"{path} of {whose} expires in {days} days; renew it soon ({README}).")
    return ok(f"{path} of {whose} is valid for {days:,} days more")
