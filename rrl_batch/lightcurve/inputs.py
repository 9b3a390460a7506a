"""What goes into a predictor of [Fe/H]."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrl_batch.lightcurve.sequences import Sequences


class Inputs(NamedTuple):
    """What any predictor may see of some stars; it takes what it needs.

    Parameters
    ----------
    sequences : (n_stars, n_points, 2) float32 ndarray
        Curves.
    shape : (n_stars, n_shape) float32 ndarray
        Shape parameters, in the order of `SHAPE_COLUMNS`.
    """

    sequences: Sequences
    shape: NDArray[np.float32]
