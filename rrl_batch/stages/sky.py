"""The sky as a bag of partitions: small neighbours share a task."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from dask import bag
from distributed import span

from rrl_batch.cluster.monitor import gather
from rrl_batch.cluster.recorder import pieces_of
from rrl_batch.storage.manifest import Receipt
from rrl_batch.storage.sky import Pixel, neighbours

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")

STARS_PER_TASK = 1_000
"""Fewest stars in a task, 0.1 s of work: partitions smaller than that share one."""

STARS_PER_SELECTION = 20_000
"""The same where most stars are only read, to find those with a label."""


def sky_bag(pieces: Sequence[T], groups: Sequence[slice]) -> bag.Bag:
    """Return the pieces of the sky as a bag, those of a group in one partition."""
    return bag.from_sequence([pieces[group] for group in groups], npartitions=len(groups)).flatten()


def over_the_sky(
    client: "Client",
    task: Callable[..., Receipt],
    pieces: Sequence[T],
    pixels: list[Pixel],
    stars: list[int],
    stars_per_task: int,
    *,
    stage: str,
    **arguments: Any,
) -> list[Receipt]:
    """Call a function for every piece of the sky, with a progress line in stars."""
    groups = neighbours(stars, stars_per_task)
    planned = [sum(stars[group]) for group in groups]
    sky = sky_bag(pieces, groups)
    with span(stage):
        futures = client.compute(sky.map(task, **arguments).to_delayed())
    done: list[list[Receipt]] = gather(
        client, futures, stage=stage, unit="stars", planned=planned,
        pixels=[pixels[group] for group in groups],
        outcome=lambda i, receipts: pieces_of(pixels[groups[i]], stars[groups[i]], receipts),
    )  # fmt: skip
    return list(chain.from_iterable(done))
