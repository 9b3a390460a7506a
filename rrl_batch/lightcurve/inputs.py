"""What goes into any predictor."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Inputs(NamedTuple):
    """The inputs of predictors, one row a star; each takes what it needs.

    Attributes
    ----------
    sequences : (n_stars, n_points, 2) float32
        Magnitude, in mag, and phase times period, in days, step by step.
    shape : (n_stars, 16) float32
        Shape parameters, the columns of `rrl_batch.lightcurve.shape`.
    """

    sequences: NDArray[np.float32]
    shape: NDArray[np.float32]
