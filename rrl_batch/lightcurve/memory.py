"""How much memory the preparation of light curves takes."""

BYTES_PER_EPOCH = 120
BYTES_PER_POINT = 48
"""Measured as the peak of reading, preparing and predicting, rounded up."""

BYTES_PER_STAR = 8_000
"""Of the errors of a curve, which are there in full."""

BYTES_PER_POSTERIOR = 22_000
"""A star's posterior covariance, four times over while it is turned; measured likewise."""


def memory_needed(n_stars: int, n_epochs: int, points: int, *, population: bool = False) -> int:
    """Return about how many bytes a batch of stars takes at most while it is worked on.

    Parameters
    ----------
    n_stars, n_epochs : int
        Stars in the batch, and epochs of all of them.
    points : int
        Steps of a sequence.
    population : bool
        Whether they are smoothed by their population.
    """
    bytes_per_star = BYTES_PER_STAR + points * BYTES_PER_POINT + population * BYTES_PER_POSTERIOR
    return n_epochs * BYTES_PER_EPOCH + n_stars * bytes_per_star
