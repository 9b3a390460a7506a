"""The form in which the kernels take light curves: flat arrays and offsets."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def kernel_arrays(
    phase: npt.ArrayLike, mag: npt.ArrayLike, offsets: npt.ArrayLike
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.int64]]:
    """Return copies of the types that the kernels are compiled for.

    Parameters
    ----------
    phase, mag : (n_epochs,) float
        Phases and magnitudes of all stars, star after star.
    offsets : (n_stars + 1,) int64
        Star i owns the epochs ``offsets[i]`` to ``offsets[i + 1]``, the end excluded.

    Raises
    ------
    ValueError
        If the arrays do not fit together.
    """
    # Copies: Arrow's buffers are read-only, a type for which numba would compile once more.
    phase = np.array(phase, dtype=np.float64)
    mag = np.array(mag, dtype=np.float64)
    offsets = np.array(offsets, dtype=np.int64)
    falling = (np.diff(offsets) < 0).any()
    if not phase.shape == mag.shape == (offsets[-1],) or offsets[0] != 0 or falling:
        raise ValueError("offsets must rise from 0 to the number of epochs in phase and in mag")
    return phase, mag, offsets
