"""Cross-validation folds, stratified on [Fe/H], and the stopping set inside the training folds."""

import numpy as np
from numpy.typing import NDArray

from rrl_batch.errors import UserError

_BINS = 10


def assign_folds(feh: NDArray[np.float64], n_folds: int, seed: int) -> NDArray[np.int32]:
    """Give each star the fold in which it is held out.

    Parameters
    ----------
    feh : (n_stars,) float64
        Metallicities, in dex.
    n_folds : int
        Number of folds.
    seed : int
        Seed of the shuffling.

    Returns
    -------
    (n_stars,) int32
        Folds, 0 to n_folds - 1, each with nearly the same distribution of [Fe/H].

    Raises
    ------
    UserError
        If there are too few stars: every fold needs two, one of them to stop the training of the
        others.
    """
    from sklearn.model_selection import StratifiedKFold

    if len(feh) < 2 * n_folds:
        raise UserError(
            f"{len(feh)} labelled stars are too few for {n_folds} folds, which need at least "
            f"{2 * n_folds}; give more labels, set training.folds lower, or loosen the selection "
            f"in [training]."
        )
    folds = np.empty(len(feh), np.int32)
    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(feh, _strata(feh, n_folds))):
        folds[held_out] = fold
    return folds


def require_pairs(n_folds: int) -> None:
    """Refuse folds of which none is left to learn from when two are held out."""
    if n_folds < 3:
        raise UserError(
            f"To choose within the training folds takes three folds or more, not {n_folds}; set "
            f"training.folds higher."
        )


def split_stopping_set(
    feh: NDArray[np.float64], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Set stars of the training folds aside, to stop the training by.

    Parameters
    ----------
    feh : (n_stars,) float64
        Metallicities of the training folds' stars, in dex.
    fraction : float
        Part of them to set aside; none if 0.
    seed : int
        Seed of the shuffling.

    Returns
    -------
    training, stopping : (n,) int64
        Row numbers of the two sets.
    """
    if fraction == 0:
        return np.arange(len(feh)), np.arange(0)
    return _split(feh, max(1, round(fraction * len(feh))), seed)


def thin_out(feh: NDArray[np.float64], fraction: float, seed: int) -> NDArray[np.int64]:
    """Keep a part of the stars, with the same distribution of [Fe/H], for a learning curve.

    Parameters
    ----------
    feh : (n_stars,) float64
        Metallicities, in dex.
    fraction : float
        Part of the stars to keep, but not fewer than two: one ends the training of the other.
    seed : int
        Seed of the choice.

    Returns
    -------
    (n,) int64
        Row numbers of the stars that are kept.
    """
    n_kept = max(2, round(fraction * len(feh)))
    if n_kept >= len(feh):
        return np.arange(len(feh))
    return np.sort(_split(feh, n_kept, seed)[1])


def _split(
    feh: NDArray[np.float64], size: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of two sets with the same distribution of [Fe/H], the second of a size."""
    from sklearn.model_selection import train_test_split

    smaller = min(size, len(feh) - size)
    # a stratum can be split if it has two stars, and the smaller set has a place for each stratum
    strata = _strata(feh, max(2, -(-len(feh) // smaller)))
    first, second = train_test_split(
        np.arange(len(feh)), test_size=size, random_state=seed, stratify=strata
    )
    return first, second


def _strata(feh: NDArray[np.float64], smallest: int) -> NDArray[np.int64]:
    """Return bins of [Fe/H] by rank, each of at least `smallest` stars."""
    n_bins = int(np.clip(len(feh) // smallest, 1, _BINS))
    ranks = np.argsort(np.argsort(feh, kind="stable"), kind="stable")
    return ranks * n_bins // len(feh)
