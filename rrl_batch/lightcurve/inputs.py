"""What goes into a predictor."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrl_batch.lightcurve.sequences import Sequences


class Inputs(NamedTuple):
    """Light curves as predictors take them, one row a star.

    Attributes
    ----------
    sequences : (n_stars, n_points, 2) float32
        Magnitude, in mag, and phase times period, in days, step by step.
    shape : (n_stars, n_shape) float32
        Parameters of the curve's shape, or the first of them.
    """

    sequences: Sequences
    shape: NDArray[np.float32]
