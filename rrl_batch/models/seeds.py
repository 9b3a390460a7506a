"""Seeds for the layers of a network."""

from collections.abc import Iterator

import numpy as np

_LAYERS = 256


def layer_seeds(seed: int) -> Iterator[int]:
    """Return independent seeds, for each thing in a network that draws random numbers.

    Layers that are given no seed take one from Python's global generator, which the threads of a
    Dask worker draw from as well: training would not be repeatable.

    Parameters
    ----------
    seed : int
        Seed of the network.
    """
    return iter(np.random.SeedSequence(seed).generate_state(_LAYERS).tolist())
