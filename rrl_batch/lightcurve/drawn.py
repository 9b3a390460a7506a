"""Light curves to be looked at: folded epochs, and the smoothed curve with its uncertainty."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.prepare import measure
from rrl_batch.lightcurve.smoothing import MeasuredCurves

Floats = NDArray[np.float64]

N_POINTS = 200


class DrawnCurve(NamedTuple):
    """A light curve, folded, and the curve through it.

    Attributes
    ----------
    phase, mag, mag_error : (n_epochs,) float64
        The usable epochs, in cycles and mag; errors are NaN where they are unknown.
    grid : (n_points,) float64, in cycles
        Phases of the curve.
    curve, error : (n_points,) float64, in mag
        The curve and the standard error of its shape, that of the mean magnitude left out; NaN
        where there is none.
    """

    phase: Floats
    mag: Floats
    mag_error: Floats
    grid: Floats
    curve: Floats
    error: Floats


def drawn_curves(stars: LightCurveBatch, preparation: dict[str, Any]) -> list[DrawnCurve]:
    """Return the light curves of some stars as they are drawn.

    Parameters
    ----------
    stars : LightCurveBatch
        The stars.
    preparation : dict
        Settings of `prepare`.
    """
    settings = {name: value for name, value in preparation.items() if name != "dataset"}
    folded, curves, *_ = measure(stars, **settings | {"points": N_POINTS})
    offsets = folded.epochs.offsets
    # a star without a curve keeps the phases of its epochs
    origin = np.repeat(np.nan_to_num(curves.origin), np.diff(offsets))
    phase = (folded.phase - origin) % 1.0
    error = _errors(curves)
    return [
        DrawnCurve(
            phase[own], folded.epochs.mag[own], folded.epochs.mag_error[own],
            curves.phase[i], curves.mag[i], error[i],
        )
        for i, own in enumerate(slice(*ends) for ends in pairwise(offsets))
    ]  # fmt: skip


def _errors(curves: MeasuredCurves) -> Floats:
    """Return the standard errors of curves, from the covariances of their harmonics."""
    phase = curves.phase + curves.start[:, np.newaxis]
    order = np.arange(1, curves.harmonics.shape[1] + 1)
    angle = 2 * np.pi * phase[:, :, np.newaxis] * order
    waves = np.stack([np.cos(angle), np.sin(angle)], axis=-1).reshape(*phase.shape, -1)
    error: Floats = np.linalg.norm(waves @ curves.factor, axis=-1)
    return error
