"""Where the tasks of a job run."""

from itertools import chain
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from rrl_batch.job.section import Section

LEAST_MEMORY = 320_000_000
"""Bytes that a worker takes before it has anything to do."""


class ClusterSection(Section):
    """Where the tasks run; an option is for some kinds of cluster, and refused for others."""

    kind: Literal["local", "address", "ssh", "slurm", "kubernetes", "cuda"] = Field(
        "local",
        description="local: processes on this machine; address: a running scheduler; ssh: hosts "
        "reached by SSH; slurm: jobs of a SLURM queue; kubernetes: pods, by the Dask operator; "
        "cuda: a process on each GPU of this machine",
    )
    address: str | None = Field(None, description="the scheduler's address")
    hosts: tuple[str, ...] = Field(
        (),
        description="hosts by name, as in ~/.ssh/config; the scheduler runs on the first, workers "
        "on all",
    )
    python: str | None = Field(
        None, description="the interpreter on the other hosts; the path of this one if not given"
    )
    queue: str | None = Field(
        None, description="queue (partition) of SLURM; that of jobqueue.yaml if not given"
    )
    account: str | None = Field(
        None, description="account of SLURM; that of jobqueue.yaml if not given"
    )
    hours: float | None = Field(
        None,
        gt=0,
        description="hours that a job of SLURM may take; its workers end a little earlier, and "
        "others replace them; the walltime of jobqueue.yaml if not given",
    )
    workers_per_job: int = Field(1, ge=1, description="workers in a job of SLURM")
    manifest: Path | None = Field(
        None, description="file of the DaskCluster, as deploy/kubernetes/cluster.yaml"
    )
    namespace: str | None = Field(
        None, description="namespace of Kubernetes; that of the current context if not given"
    )
    tls: Path | None = Field(
        None,
        description="folder with your certificate (ca.crt, tls.crt, tls.key) for a cluster that "
        "encrypts; that of RRL_BATCH_TLS, or of Dask's configuration, if not given",
    )
    workers: int | None = Field(
        None,
        ge=1,
        description="processes; ssh: on each host; local: one a core if not given; cuda: one a "
        "GPU if not given",
    )
    cpu_workers: int | None = Field(
        None,
        ge=0,
        description="processes beside those on the GPUs; as many as there are cores left if not "
        "given",
    )
    min_workers: int | None = Field(
        None,
        ge=1,
        description="fewest processes of a cluster that grows and shrinks with the work, up to "
        "workers; always as many as workers if not given",
    )
    threads_per_worker: int = Field(
        1, ge=1, description="threads that the kernels of one process may use"
    )
    memory_per_worker: str = Field(
        "auto",
        description="memory of a process, e.g. '4 GiB'; auto shares the machine's, and that of "
        "jobqueue.yaml for slurm",
    )
    host: str | None = Field(
        None,
        description="address on which the scheduler listens for workers; every one of its machine "
        "if not given",
    )
    dashboard_address: str = Field(
        "127.0.0.1:8787",
        description="where the dashboard listens; if the port is taken, at another",
    )
    start_timeout: float = Field(
        10, gt=0, description="minutes that a worker may take to come where there is none"
    )

    @field_validator("dashboard_address")
    @classmethod
    def _host_and_port(cls, address: str) -> str:
        from distributed.comm.addressing import parse_host_port

        try:
            _, port = parse_host_port(address, -1)
        except ValueError:
            port = -1
        if not 0 <= port < 2**16:
            raise ValueError(
                f"cluster.dashboard_address = '{address}' is no address; give host and port, e.g. "
                f"'127.0.0.1:8787', or port 0 for one that is free."
            )
        return address

    @field_validator("memory_per_worker")
    @classmethod
    def _amount_of_memory(cls, memory: str) -> str:
        from dask.utils import parse_bytes

        if memory == "auto":
            return memory
        given = f"cluster.memory_per_worker = '{memory}' is"
        try:
            amount = parse_bytes(memory)
        except ValueError:
            raise ValueError(
                f"{given} no amount of memory; give a number with its unit, e.g. '4 GiB', or "
                f"'auto'."
            ) from None
        if amount < LEAST_MEMORY:
            raise ValueError(
                f"{given} less than a worker takes for itself, about 300 MB, and it would be "
                f"killed whenever it starts; give more, '2 GB' for training networks."
            )
        return memory

    @model_validator(mode="after")
    def _options_of_its_kind(self) -> Self:
        for name in NEEDED_OPTIONS[self.kind]:
            if getattr(self, name) in (None, ()):
                raise ValueError(
                    f"The job's cluster is of kind '{self.kind}' but names no cluster.{name}; "
                    f"add it to the section [cluster] of the job file, or give --set "
                    f"cluster.{name}=…"
                )
        for name in other_options(self.kind):
            if getattr(self, name) != type(self).model_fields[name].default:
                kinds = [kind for kind, options in CLUSTER_OPTIONS.items() if name in options]
                raise ValueError(
                    f"cluster.{name} is for kind {' or '.join(map(repr, kinds))}, and the job's "
                    f"cluster is of kind '{self.kind}'; take it out."
                )
        if self.workers and self.min_workers and self.min_workers > self.workers:
            raise ValueError(
                f"cluster.min_workers = {self.min_workers} is more than cluster.workers = "
                f"{self.workers}; lower it."
            )
        if self.workers and self.workers % self.workers_per_job:
            raise ValueError(
                f"cluster.workers = {self.workers} is no multiple of cluster.workers_per_job = "
                f"{self.workers_per_job}; change one."
            )
        if self.min_workers and self.workers_per_job > 1:
            raise ValueError(
                "A cluster with cluster.min_workers needs cluster.workers_per_job = 1: workers of "
                "one job end together."
            )
        return self


_PROCESSES = ("workers", "threads_per_worker", "memory_per_worker")

CLUSTER_OPTIONS: dict[str, tuple[str, ...]] = {
    "local": (*_PROCESSES, "dashboard_address"),
    "address": ("address", "tls"),
    "ssh": ("hosts", "python", "tls", *_PROCESSES, "host", "dashboard_address"),
    "slurm": (
        "queue", "account", "hours", "workers_per_job", "tls", *_PROCESSES, "min_workers", "host",
        "dashboard_address",
    ),
    "kubernetes": ("manifest", "namespace", "workers", "min_workers"),
    "cuda": (*_PROCESSES, "cpu_workers", "dashboard_address"),
}  # fmt: skip
"""Options of each kind of cluster; those that are not here are for all kinds."""

NEEDED_OPTIONS: dict[str, tuple[str, ...]] = {
    "local": (),
    "address": ("address",),
    "ssh": ("hosts", "workers"),
    "slurm": ("workers",),
    "kubernetes": ("manifest", "workers"),
    "cuda": (),
}
"""Options that a kind of cluster cannot do without."""


def other_options(kind: str) -> set[str]:
    """Return the options that only other kinds of cluster have."""
    return set(chain.from_iterable(CLUSTER_OPTIONS.values())).difference(CLUSTER_OPTIONS[kind])
