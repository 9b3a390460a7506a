"""Refuse to compute where client, scheduler and workers are not of the same versions."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rrl_batch.errors import UserError

if TYPE_CHECKING:
    from distributed import Client

EVERYWHERE = ("python", "rrl-batch", "dask", "distributed")
"""What has to be the same also on the scheduler: what is sent would not be understood."""

WHERE_IT_COMPUTES = ("numpy", "numba", "keras")
"""What has to be the same on the client and the workers: results would depend on who computes."""

Versions = Mapping[str, str]


def check_versions(client: "Client") -> None:
    """Check that client, scheduler and workers are of the same versions.

    Raises
    ------
    UserError
        If they are not, with a table of what differs.
    """
    packages = [name for name in (*EVERYWHERE, *WHERE_IT_COMPUTES) if name != "python"]
    found = client.get_versions(packages=packages)
    here, scheduler = _versions(found["client"]), _versions(found["scheduler"])
    workers = Counter(
        tuple(_versions(worker).items()) for worker in found["workers"].values() if worker
    )
    columns: list[tuple[str, Versions]] = [
        ("this client", here), ("scheduler", {name: scheduler[name] for name in EVERYWHERE}),
    ]  # fmt: skip
    for versions, n in workers.most_common():
        columns.append((f"{n} worker{'s' if n > 1 else ''}", dict(versions)))
    names = [
        name
        for name, ours in here.items()
        if any(versions.get(name, ours) != ours for _, versions in columns)
    ]
    if names:
        raise UserError(
            "Client, scheduler and workers are not of the same versions; install the same ones "
            "everywhere, with constraints.txt.",
            *_table(columns, names),
        )


def _versions(of: dict[str, Any]) -> dict[str, str]:
    packages = of["packages"]
    found = {name: packages.get(name) or "missing" for name in (*EVERYWHERE, *WHERE_IT_COMPUTES)}
    # what is pickled by one patch release of Python, another reads
    found["python"] = ".".join(found["python"].split(".")[:2])
    return found


def _table(columns: list[tuple[str, Versions]], names: list[str]) -> list[str]:
    """Lay out the versions, a line a package, a column a place."""
    head = ["", *(title for title, _ in columns)]
    lines = [[name, *(versions.get(name, "") for _, versions in columns)] for name in names]
    widths = [max(len(line[i]) for line in (head, *lines)) for i in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (head, *lines)
    ]
