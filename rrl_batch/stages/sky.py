"""The sky as a bag of partitions: small neighbours share a task."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from dask import bag
from distributed import span

from rrl_batch.cluster.monitor import gather
from rrl_batch.cluster.recorder import pieces_of
from rrl_batch.storage.manifest import Receipt
from rrl_batch.storage.sky import Pixel, neighbours

if TYPE_CHECKING:
    from distributed import Client, Future

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
    resources: dict[str, float] | None = None,
    isolates: bool = False,
    **arguments: Any,
) -> list[Receipt]:
    """Call a function for every piece of the sky, with a progress line in stars.

    Parameters
    ----------
    client : distributed.Client
        The cluster's client.
    task : callable
        The function, of a piece and the arguments.
    pieces : sequence
        The pieces, in order of position on the sky.
    pixels : list of Pixel
        The HEALPix pixel of each.
    stars : list of int
        How many stars each has.
    stars_per_task : int
        Fewest stars in a task.
    stage : str
        What is being done, for the line shown.
    resources : dict of str to float, optional
        What a worker must declare to take part; all do if it is not given.
    isolates : bool
        Whether the function can be `careful`: go round the stars that it fails on.
    **arguments
        Arguments of the function.
    """
    groups = neighbours(stars, stars_per_task)
    planned = [sum(stars[group]) for group in groups]
    sky = sky_bag(pieces, groups)
    with span(stage):
        futures = client.compute(sky.map(task, **arguments).to_delayed(), resources=resources)

    def again(number: int, careful: bool) -> "Future":
        how = {"careful": True} if careful else {}
        return client.submit(
            _each, pieces[groups[number]], partial(task, **arguments, **how), resources=resources,
            pure=False,
        )  # fmt: skip

    done: list[list[Receipt]] = gather(
        client, futures, stage=stage, unit="stars", planned=planned, resources=resources,
        again=again, careful=isolates,
        pixels=[pixels[group] for group in groups],
        outcome=lambda i, receipts: pieces_of(pixels[groups[i]], stars[groups[i]], receipts),
    )  # fmt: skip
    return list(chain.from_iterable(done))


def _each(pieces: Sequence[T], task: Callable[[T], Receipt]) -> list[Receipt]:
    return [task(piece) for piece in pieces]
