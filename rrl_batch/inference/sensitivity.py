"""What a prediction depends on: how it changes when the curve changes a little, phase by phase."""

import numpy as np
from numpy.typing import NDArray

from rrl_batch.inference.model import Model
from rrl_batch.inference.predict import predict
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.prepare import Measurement, measure, prepared

Floats = NDArray[np.float64]

N_PHASES = 40
"""Phases at which the curve is changed."""

BUMP = 0.02
"""By how much it is made fainter there, in mag: as small as the errors of most curves."""

BUMP_WIDTH = 0.05
"""Standard deviation of the Gaussian in phase by which it is, in cycles."""


def sensitivity(stars: LightCurveBatch, model: Model) -> Floats:
    """Return how [Fe/H] changes when a star's smoothed curve is fainter about a phase.

    The curve is changed where the model takes it over from the smoothing: points of the curve and
    its harmonics alike, so that networks on curves and regressors on shape parameters are asked in
    the same way. Alignment, period, noise and number of epochs stay as they are.

    Parameters
    ----------
    stars : LightCurveBatch
        Some stars.
    model : Model
        The model that has predicted them.

    Returns
    -------
    (n_stars, N_PHASES) float64, in dex per mag
        At the phases i / N_PHASES of the smoothed curve; NaN where there is no [Fe/H].
    """
    settings = model.preparation
    dataset = settings["dataset"]
    rest = {name: value for name, value in settings.items() if name != "dataset"}
    copies = stars.take(np.repeat(np.arange(len(stars)), N_PHASES + 1))
    # the last copy of each star stays as it is
    centre = np.tile(np.append(np.arange(N_PHASES) / N_PHASES, np.nan), len(stars))
    changed = _fainter(measure(copies, **rest), centre)
    rows = predict(prepared(copies, changed, dataset, rest["points"]), model.path, model.mark)
    feh = rows["feh"].to_numpy(np.float64).reshape(len(stars), N_PHASES + 1)
    found: Floats = (feh[:, :-1] - feh[:, -1:]) / BUMP
    return found


def _fainter(measured: Measurement, centre: Floats) -> Measurement:
    """Return curves that are fainter about a phase each; NaN leaves one as it is."""
    folded, curves = measured.stars, measured.curves
    order = np.arange(1, curves.harmonics.shape[1] + 1)
    mag = curves.mag + bump(curves.phase, centre[:, np.newaxis])
    added = _harmonics_of_bump(centre + curves.start, order)
    harmonics = np.where(curves.harmonics == 0, 0, curves.harmonics + added)
    counts = np.diff(folded.epochs.offsets)
    phase = folded.phase - np.repeat(curves.origin, counts)
    epochs = folded.epochs._replace(mag=folded.epochs.mag + bump(phase, np.repeat(centre, counts)))
    return measured._replace(
        stars=folded._replace(epochs=epochs), curves=curves._replace(mag=mag, harmonics=harmonics)
    )


def bump(phase: Floats, centre: Floats) -> Floats:
    """Return by how much a curve is made fainter, in mag; 0 where no centre is given."""
    distance = (phase - centre + 0.5) % 1.0 - 0.5
    return np.nan_to_num(BUMP * np.exp(-0.5 * (distance / BUMP_WIDTH) ** 2))


def _harmonics_of_bump(centre: Floats, order: NDArray[np.int64]) -> NDArray[np.complex128]:
    """Return the harmonics of the bump: the Fourier series of a periodic Gaussian."""
    area = BUMP * BUMP_WIDTH * np.sqrt(2 * np.pi)
    size = 2 * area * np.exp(-2 * (np.pi * BUMP_WIDTH * order) ** 2)
    turned = np.exp(-2j * np.pi * centre[:, np.newaxis] * order)
    found: NDArray[np.complex128] = np.nan_to_num(size * turned)
    return found
