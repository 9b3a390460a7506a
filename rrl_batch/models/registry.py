"""The kinds of predictor by name: adding a network is a file with its layers and an entry here."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rrl_batch.errors import UserError, hint
from rrl_batch.lightcurve.inputs import Inputs
from rrl_batch.lightcurve.sequences import PADDING
from rrl_batch.lightcurve.shape import N_SHAPE
from rrl_batch.models import convolutional, dense, hybrid, recurrent, regressors, transformer
from rrl_batch.models.device import claim_gpu
from rrl_batch.models.seeds import layer_seeds

if TYPE_CHECKING:
    import keras

Floats = NDArray[np.float64]

Static = Literal["none", "period", "shape"]
"""Which shape parameters a network gets beside the curve."""

N_STATIC: dict[Static, int] = {"none": 0, "period": 1, "shape": N_SHAPE}
"""How many they are: the first columns of the shape parameters."""

HEAD_UNITS = 32

_OF_PASSES = (
    "training.stop_fraction", "training.epochs", "training.patience", "training.schedule",
    "training.batch_size", "training.learning_rate",
)  # fmt: skip
"""Options of a job that only networks look at, which learn pass by pass."""


@dataclass(frozen=True)
class Architecture:
    """A kind of predictor.

    Parameters
    ----------
    takes : {"curve", "shape"}
        What it sees: the curve, and the shape parameters beside it if the job says so, or all
        shape parameters and no curve.
    engine : {"fused", "keras", "kernel", "none"}
        What evaluates it in `inference`. The fused kernel takes stacks of GRU or LSTM layers that
        are not masked, and gives what Keras does; a test compares the two. Kernel expansions are
        regressors. None: it cannot be written to a model's folder, and serves for comparison only.
    layers : callable, optional
        What a network is made of: from its input, curves (n_stars, n_points, 2), with a Keras mask
        if they are padded, or shape parameters (n_stars, n_shape), and seeds for its layers, to
        features (n_stars, n_features). A regressor has none.
    dropout : bool
        Whether it has layers of dropout.
    fit : callable, optional
        What fits a regressor: from finite shape parameters, metallicities, sample weights and a
        seed.
    """

    takes: Literal["curve", "shape"]
    engine: Literal["fused", "keras", "kernel", "none"]
    layers: "Callable[[keras.KerasTensor, Iterator[int]], keras.KerasTensor] | None" = None
    dropout: bool = False
    fit: Callable[[Floats, Floats, Floats, int], regressors.Regressor] | None = None

    @property
    def is_network(self) -> bool:
        """Whether it is a network, else a regressor."""
        return self.layers is not None


ARCHITECTURES = {
    "fcn": Architecture("curve", "keras", convolutional.fcn),
    "resnet": Architecture("curve", "keras", convolutional.resnet),
    "inceptiontime": Architecture("curve", "keras", convolutional.inceptiontime),
    "lstm": Architecture("curve", "fused", recurrent.lstm, dropout=True),
    "bilstm": Architecture("curve", "fused", recurrent.bilstm, dropout=True),
    "convlstm": Architecture("curve", "keras", hybrid.convlstm, dropout=True),
    "gru": Architecture("curve", "fused", recurrent.gru, dropout=True),
    "bigru": Architecture("curve", "fused", recurrent.bigru, dropout=True),
    "convgru": Architecture("curve", "keras", hybrid.convgru, dropout=True),
    "transformer": Architecture("curve", "keras", transformer.transformer, dropout=True),
    "mlp": Architecture("shape", "keras", dense.mlp, dropout=True),
    "linear": Architecture("shape", "none", fit=regressors.linear),
    "ridge": Architecture("shape", "kernel", fit=regressors.ridge),
    "svr": Architecture("shape", "kernel", fit=regressors.svr),
    "gp": Architecture("shape", "kernel", fit=regressors.gp),
    "boosting": Architecture("shape", "none", fit=regressors.boosting),
}


def n_static_of(architecture: str, static: Static) -> int:
    """Return how many shape parameters a kind of predictor gets.

    Parameters
    ----------
    architecture : str
        Name in the registry.
    static : {"none", "period", "shape"}
        What networks get beside the curve; a kind that takes no curve gets all in any case.
    """
    return N_SHAPE if ARCHITECTURES[architecture].takes == "shape" else N_STATIC[static]


def build(
    architecture: str,
    n_points: int,
    *,
    masked: bool,
    n_static: int = 0,
    dropout: float | None = None,
    seed: int = 0,
) -> "keras.Model":
    """Build a network with fresh weights; its last layer is linear, of one unit.

    Parameters
    ----------
    architecture : str
        Name in the registry.
    n_points : int
        Steps of a sequence.
    masked : bool
        Whether sequences are padded, so that the steps beyond the last epoch are passed over.
    n_static : int
        Number of shape parameters that it gets. Those beside a curve meet the features of the
        curve in a hidden layer, `dense.HEAD`.
    dropout : float, optional
        One rate for all its layers of dropout; if not given, they have those published.
    seed : int
        Seed of initial weights and dropout.

    Returns
    -------
    keras.Model
        From the inputs `curve`, (n_stars, n_points, 2), and `shape`, (n_stars, n_static), or the
        one of them that it takes, to (n_stars, 1) metallicities; see `arrays_for`.

    Raises
    ------
    UserError
        If there is no such network, or it has no layer of dropout to give a rate to.
    """
    check(architecture)
    kind = ARCHITECTURES[architecture]
    if kind.layers is None:
        raise ValueError(f"'{architecture}' is no network")
    check_dropout(architecture, dropout)
    claim_gpu()
    import keras

    seeds = layer_seeds(seed)
    shape = keras.Input((n_static,), name="shape")
    if kind.takes == "shape":
        inputs, features = shape, kind.layers(shape, seeds)
    else:
        inputs = curve = keras.Input((n_points, 2), name="curve")
        state = keras.layers.Masking(PADDING)(curve) if masked else curve
        features = kind.layers(state, seeds)
        if n_static:
            inputs = [curve, shape]
            features = keras.layers.Concatenate()([features, shape])
            features = dense.hidden(features, HEAD_UNITS, seeds, dense.HEAD)
    kernel = keras.initializers.GlorotUniform(next(seeds))
    last = keras.layers.Dense(1, kernel_initializer=kernel, name="feh")
    network = keras.Model(inputs, last(features), name=architecture)
    if dropout is not None:
        _set_dropout(network, dropout)
    return network


def _set_dropout(network: "keras.Model", rate: float) -> None:
    """Give all layers of dropout a rate.

    Made with a rate of 0, a layer would have no state, and the file of its weights other contents.
    """
    import keras

    for layer in network.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = rate


def fit_regressor(
    name: str, shape: ArrayLike, feh: ArrayLike, weights: ArrayLike, seed: int
) -> regressors.Regressor:
    """Fit a regressor, in double precision, to the stars whose shape parameters are all known.

    Parameters
    ----------
    name : str
        Name in the registry.
    shape : (n_stars, n_shape) array_like
        Shape parameters.
    feh : (n_stars,) array_like
        Metallicities, in dex.
    weights : (n_stars,) array_like
        Sample weights, positive.
    seed : int
        Seed of whatever it draws.

    Raises
    ------
    UserError
        If there is no such architecture.
    """
    check(name)
    fit = ARCHITECTURES[name].fit
    if fit is None:
        raise ValueError(f"'{name}' is no regressor")
    shape, feh, weights = (np.asarray(array, np.float64) for array in (shape, feh, weights))
    known = np.isfinite(shape).all(axis=1)
    return fit(shape[known], feh[known], weights[known], seed)


def arrays_for(
    network: "keras.Model", inputs: Inputs
) -> NDArray[np.float32] | list[NDArray[np.float32]]:
    """Return what a network takes of its possible inputs.

    Parameters
    ----------
    network : keras.Model
        As `build` makes them.
    inputs : Inputs
        Curves, and shape parameters of which it gets the first columns.

    Returns
    -------
    ndarray or list of ndarray
        Its one input, or several, as Keras expects them.
    """
    arrays = [
        inputs.sequences if layer.name == "curve" else inputs.shape[:, : layer.shape[1]]
        for layer in network.inputs
    ]
    return arrays if len(arrays) > 1 else arrays[0]


def check(architecture: str) -> None:
    """Raise UserError, with the nearest name, if there is no such architecture."""
    if architecture not in ARCHITECTURES:
        known = hint(architecture, ARCHITECTURES)
        raise UserError(f"There is no architecture '{architecture}'; {known}")


def require_used(architecture: str, options: Iterable[str], where: str) -> None:
    """Refuse options that are given to a kind of predictor which does not look at them.

    Those of a whole job are no mistake, since it may combine kinds; those of a case or of a single
    kind would make a difference where there is none.

    Parameters
    ----------
    architecture : str
        Name in the registry.
    options : iterable of str
        Options that it is given, by ``section.key``.
    where : str
        Where they are given, for messages.

    Raises
    ------
    UserError
        If there is no such architecture, or one of the options is for others only.
    """
    check(architecture)
    kind = ARCHITECTURES[architecture]
    why = dict.fromkeys(() if kind.is_network else _OF_PASSES, "does not learn pass by pass")
    if kind.takes == "shape":
        why["model.static"] = "gets all shape parameters in any case"
    for option in options:
        if option in why:
            raise UserError(
                f"{where}: {option} does not change a '{architecture}', which {why[option]}; take "
                f"it out."
            )


def check_model(architecture: str) -> None:
    """Raise UserError if a model cannot be made of this architecture."""
    check(architecture)
    if ARCHITECTURES[architecture].engine == "none":
        kept = ", ".join(name for name, kind in ARCHITECTURES.items() if kind.engine != "none")
        raise UserError(
            f"The architecture '{architecture}' serves for comparison only, a model cannot be "
            f"made of it; choose from {kept}."
        )


def check_dropout(architecture: str, dropout: float | None) -> None:
    """Raise UserError if a rate is given to an architecture without layers of dropout."""
    if dropout is not None and not ARCHITECTURES[architecture].dropout:
        having = ", ".join(name for name, kind in ARCHITECTURES.items() if kind.dropout)
        raise UserError(
            f"The architecture '{architecture}' has no dropout; remove model.dropout, or choose "
            f"from {having}."
        )
