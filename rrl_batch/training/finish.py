"""Put fitted members together: out-of-fold predictions, baseline, domain, errors, model card."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.errors import RunError
from rrl_batch.models.baseline import LinearBaseline
from rrl_batch.models.calibration import Calibration, noise_error
from rrl_batch.models.domain import MIN_STARS, TrainingDomain
from rrl_batch.models.folder import OUT_OF_FOLD, Member, ModelCard, write_domains
from rrl_batch.storage.commit import checksum, replacing
from rrl_batch.storage.manifest import Receipt
from rrl_batch.storage.remote import readable, remove_tree
from rrl_batch.training.calibrate import cross_calibrate, cross_fitted_half_widths
from rrl_batch.training.fit import (
    DRAWS,
    FOLDS_FILE,
    FittedMember,
    fold_column,
    predictions_file,
    weights_file,
)
from rrl_batch.training.metrics import scores
from rrl_batch.training.selection import Selection
from rrl_batch.training.shards import read_shape, read_table
from rrl_batch.training.weights import density_weights


def finish_model(
    model: Path,
    root: Path,
    receipts: list[Receipt],
    members: list[FittedMember],
    selection: Selection,
    architecture: Sequence[str],
    **about: Any,
) -> ModelCard:
    """Write the out-of-fold predictions and the card of a model whose members are fitted.

    Parameters
    ----------
    model : pathlib.Path
        Folder of the model.
    root : pathlib.Path
        Folder of the training set, which also holds the members' predictions.
    receipts : list of Receipt
        Shards of the training set.
    members : list of FittedMember
        One an architecture, repeat and fold.
    selection : Selection
        Which stars were trained on.
    architecture : sequence of str
        The architectures whose mean is the model's metallicity.
    **about
        What the card says beyond what is found out here.

    Returns
    -------
    ModelCard
        The card, as written.

    Raises
    ------
    RunError
        If a member could not be fitted; the others stay on disk.
    """
    _refuse_failures(members)
    table = read_table(root, receipts)
    domain = write_domains(model, _domains(table, read_shape(root, receipts)))
    stars = table.merge(pd.read_parquet(readable(root / FOLDS_FILE)), on="source_id")
    held_out = held_out_predictions(root, members)
    own = held_out.pivot_table("predicted", "source_id", "architecture")  # means over repeats
    # kinds count alike, however many members each has
    mean = own[list(architecture)].mean(axis=1)
    stars = stars.join(mean.rename("predicted"), on="source_id")
    stars = stars.join(own.add_prefix("predicted_"), on="source_id")
    stars = stars.join(_uncertainty(root, members, architecture), on="source_id")
    baseline, stars["baseline"] = _cross_fitted_baseline(stars)
    stars["weight"] = density_weights(stars["feh"], stars["feh_error"])
    calibrations = _calibrate(stars)
    with replacing(model / OUT_OF_FOLD) as partial:
        stars.sort_values("source_id", ignore_index=True).to_parquet(partial, index=False)

    predictors = {"network": "predicted", "baseline": "baseline"}
    predictors |= {str(name): f"predicted_{name}" for name in own}
    card = ModelCard(
        **about,
        architecture=architecture,
        out_of_fold=checksum(model / OUT_OF_FOLD),
        modes=selection.modes,
        members=[
            Member(
                file=weights_file(m.member, m.fingerprint),
                sha256=m.sha256,
                architecture=m.member.architecture,
                repeat=m.member.repeat,
                fold=m.member.held_out[0],
                mode=m.member.mode,
                epochs=m.epochs,
            )
            for m in members
        ],
        baseline=baseline,
        domain=domain,
        select=selection.of_curves,
        calibration=calibrations,
        metrics={
            name: scores(stars["feh"], stars[column], stars["weight"])
            for name, column in predictors.items()
        }
        | {"on_training_folds": [m.training for m in members]},
    )
    named = {member.file for member in card.members} | {d.file for d in card.domain.values()}
    _remove_strays(model, root, named)
    card.write(model)
    return card


def _remove_strays(model: Path, root: Path, named: set[str]) -> None:
    """Remove what members of other settings, and processes that were killed, have left."""
    left = [*model.glob("*.npz"), *model.glob("*.h5"), *model.glob("_*.partial")]
    for file in left:
        if file.name not in named:
            file.unlink(missing_ok=True)
    for other in root.parent.iterdir():
        if other != root:
            remove_tree(other)


def _refuse_failures(members: Sequence[FittedMember]) -> None:
    """Raise RunError if a member has come to nothing; the others are on disk by then."""
    failed = [member for member in members if member.failure]
    if failed:
        names = ", ".join(f"{m.member.kind} of fold {m.member.held_out[0]}" for m in failed)
        raise RunError(
            f"{len(failed)} of {len(members)} members could not be fitted ({names}): "
            f"{failed[0].failure} and train again."
        )


def held_out_predictions(folder: Path, members: Iterable[FittedMember]) -> pd.DataFrame:
    """Return what members predict for the stars that they have not seen; see `all_predictions`."""
    table = all_predictions(folder, members)
    return table[table["part"] == "held_out"].drop(columns="part").reset_index(drop=True)


def all_predictions(folder: Path, members: Iterable[FittedMember]) -> pd.DataFrame:
    """Return what members predict for all stars.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the members' predictions.
    members : iterable of FittedMember
        Which members.

    Returns
    -------
    pandas.DataFrame
        Columns `architecture`, `repeat`, `source_id`, `fold`, `predicted` (dex) and `part`, which
        is what the star was to the member: held_out, training, stopping or unused.
    """
    tables = (
        pd.read_parquet(readable(folder / predictions_file(m.member, m.fingerprint))).assign(
            architecture=m.member.architecture, repeat=m.member.repeat
        )
        for m in members
    )
    return pd.concat(tables, ignore_index=True)


def held_out_rmse(
    folder: Path, member: FittedMember, feh: pd.Series, fold: int | None = None
) -> float:
    """Return a member's error on the stars that it has not seen, or on those of one fold, in dex.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the member's predictions.
    member : FittedMember
        Which member.
    feh : pandas.Series
        Labels by `source_id`, in dex.
    fold : int, optional
        One of the folds that were held out; all of them if not given.
    """
    from sklearn.metrics import root_mean_squared_error

    rows = held_out_predictions(folder, [member])
    if fold is not None:
        rows = rows[rows["fold"] == fold]
    return float(root_mean_squared_error(feh[rows["source_id"]], rows["predicted"]))


def _uncertainty(
    root: Path, members: Sequence[FittedMember], architecture: Sequence[str]
) -> pd.DataFrame:
    """Return `spread` and `noise_error`, in dex, by star, as a prediction finds them."""
    combined = [m for m in members if m.member.architecture in architecture]
    table = all_predictions(root, combined)
    spread = table.groupby("source_id")["predicted"].std()
    first = table[(table["repeat"] == 0) & (table["part"] == "held_out")]
    moved = first[DRAWS].sub(first["predicted"], axis=0).assign(source_id=first["source_id"])
    together = moved.groupby("source_id").mean()  # kinds count alike
    noise = noise_error(together.to_numpy())
    return pd.DataFrame({"spread": spread, "noise_error": pd.Series(noise, together.index)})


def _calibrate(stars: pd.DataFrame) -> list[Calibration]:
    """Calibrate the errors, and fill in `half_68` and `half_95`, cross-fitted, in dex.

    The folds are those of repeat 0.
    """
    known = stars.drop(columns="feh").rename(columns={"predicted": "feh"})
    fold = stars[fold_column(0)].to_numpy(np.int64)
    error = (stars["predicted"] - stars["feh"]).to_numpy(np.float64)
    calibrations = cross_calibrate(known, error, fold)
    found = cross_fitted_half_widths(calibrations, known, fold)
    stars["half_68"], stars["half_95"] = found
    return calibrations


def _cross_fitted_baseline(
    stars: pd.DataFrame,
) -> tuple[dict[str, list[LinearBaseline]], pd.Series]:
    """Fit the baseline per mode to all stars and to each fold's training stars, of repeat 0.

    Returns the relations, and for each star the value of the relation that has not seen it.
    """
    relations: dict[str, list[LinearBaseline]] = {}
    predicted = pd.Series(np.nan, index=stars.index)
    for mode, group in stars.groupby("best_classification"):
        relations[str(mode)] = [_fit_baseline(group)]
        for fold in range(stars[fold_column(0)].max() + 1):
            held_out = group[fold_column(0)] == fold
            relation = _fit_baseline(group[~held_out])
            relations[str(mode)].append(relation)
            rows = group.index[held_out]
            predicted[rows] = relation.predict(stars["period"][rows], stars["phi31"][rows])
    return relations, predicted


def _fit_baseline(stars: pd.DataFrame) -> LinearBaseline:
    return LinearBaseline.fit(stars["period"], stars["phi31"], stars["feh"])


def _domains(stars: pd.DataFrame, shape: NDArray[np.float32]) -> dict[str, TrainingDomain]:
    """Return where the training stars of each mode are, if there are several."""
    modes = stars["best_classification"]
    return {
        str(mode): TrainingDomain.of(shape[modes.isin([mode])])
        for mode, count in modes.value_counts(sort=False).items()
        if count >= MIN_STARS
    }
