"""The training set on disk: the labelled, selected stars of each survey partition, as sequences.

Beside the curves that are learnt from are those that were drawn anew within their errors, which are
predicted alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rrl_batch.contracts.training import total
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.inputs import Inputs
from rrl_batch.lightcurve.prepare import PreparedStars
from rrl_batch.lightcurve.redrawn import N_DRAWS
from rrl_batch.storage.manifest import Receipt, commit, finished
from rrl_batch.storage.remote import readable
from rrl_batch.training.selection import Selection

LABELS_FILE = "labels.parquet"
_COLUMNS = ["source_id", "best_classification", "period", "num_epochs_used", "phi31", "phi31_error"]
_COLUMNS += ["amplitude", "mean_mag", "max_phase_gap", "feh", "feh_error"]
_REDRAWN = "redrawn_"


def labelled_only(batches: Iterable[LightCurveBatch], root: Path) -> Iterator[LightCurveBatch]:
    """Yield the labelled stars of each batch, so that no other curve is prepared for nothing.

    Parameters
    ----------
    batches : iterable of LightCurveBatch
        Stars of a survey.
    root : pathlib.Path
        Folder of the training set, which holds the labels.
    """
    labelled = pd.read_parquet(readable(root / LABELS_FILE), columns=["source_id"])["source_id"]
    for batch in batches:
        yield batch.select(batch.stars["source_id"].isin(labelled).to_numpy())


def write_shard(
    batches: Iterable[PreparedStars],
    number: int,
    root: Path,
    selection: Selection,
    fingerprint: str,
) -> Receipt:
    """Write the training stars among some prepared stars, unless they are there already.

    Parameters
    ----------
    batches : iterable of PreparedStars
        Stars of a survey partition.
    number : int
        Number of the partition.
    root : pathlib.Path
        Folder of the training set, which holds the labels.
    selection : Selection
        Which labelled stars are wanted.
    fingerprint : str
        Fingerprint of everything that the training set is made from.

    Returns
    -------
    Receipt
        Its counts are of stars: `labelled`; its summary has `cuts`, what each cut has removed.
    """
    path = f"shards/{number:06d}.{fingerprint[:12]}.parquet"
    receipt = finished(root, path, fingerprint)
    if receipt:
        return receipt
    labels = pd.read_parquet(readable(root / LABELS_FILE))
    labelled, counts, pieces = 0, [], []
    for prepared in batches:
        table = prepared.table.reset_index(drop=True).merge(labels, "left", "source_id")
        has_label = table["feh"].notna().to_numpy()
        labelled += int(has_label.sum())
        counts.append(selection.count(table[has_label]))
        rows = np.flatnonzero(has_label & selection.is_selected(table))
        inputs = Inputs(*(array[rows] for array in prepared.inputs))
        pieces.append(_to_arrow(table.iloc[rows], inputs, prepared.redrawn(rows)))
    cuts = [asdict(cut) for cut in total(counts)]
    return commit(
        root, path, pa.concat_tables(pieces), fingerprint, {"labelled": labelled},
        summary={"cuts": cuts},
    )  # fmt: skip


def _to_arrow(table: pd.DataFrame, inputs: Inputs, redrawn: Inputs) -> pa.Table:
    arrow = pa.Table.from_pandas(table[_COLUMNS], preserve_index=False)
    again = {_REDRAWN + name: array for name, array in redrawn._asdict().items()}
    for name, array in (inputs._asdict() | again).items():
        flat = pa.array(np.ascontiguousarray(array).ravel())
        width = int(np.prod(array.shape[1:]))
        arrow = arrow.append_column(name, pa.FixedSizeListArray.from_arrays(flat, width))
    return arrow


@dataclass(frozen=True)
class TrainingSet:
    """Stars to train on.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a star: identifier, measured shape, label.
    inputs : Inputs
        What predictors get.
    """

    table: pd.DataFrame
    inputs: Inputs


def read_table(root: Path, receipts: list[Receipt]) -> pd.DataFrame:
    """Read the table of a training set: identifier, measured shape, label.

    Parameters
    ----------
    root : pathlib.Path
        Folder of the training set.
    receipts : list of Receipt
        Its shards.
    """
    shards = (
        pq.read_table(readable(root / receipt.path), columns=_COLUMNS) for receipt in receipts
    )
    return pa.concat_tables(shards).to_pandas()


def read_shards(root: Path, receipts: list[Receipt], source_ids: NDArray[np.int64]) -> TrainingSet:
    """Read some stars of a training set, a shard at a time, so that they are in memory but once.

    Parameters
    ----------
    root : pathlib.Path
        Folder of the training set.
    receipts : list of Receipt
        Its shards.
    source_ids : (n,) int64
        Which stars, in any order.
    """
    table = read_table(root, receipts)
    wanted = table["source_id"].isin(source_ids).to_numpy()
    sequences, shape = _read_arrays(root, receipts, wanted, list(Inputs._fields))
    inputs = Inputs(sequences.reshape(len(sequences), sequences.shape[1] // 2, 2), shape)
    return TrainingSet(table[wanted].reset_index(drop=True), inputs)


def read_redrawn(root: Path, receipts: list[Receipt], source_ids: NDArray[np.int64]) -> Inputs:
    """Read the curves of some stars that were drawn anew; parameters as `read_shards` has them.

    Returns
    -------
    Inputs
        Those of the first star's draws, then the second's: `N_DRAWS` times as many rows as stars,
        which are in the order of the training set.
    """
    wanted = read_table(root, receipts)["source_id"].isin(source_ids).to_numpy()
    names = [_REDRAWN + name for name in Inputs._fields]
    sequences, shape = _read_arrays(root, receipts, wanted, names)
    n_rows = len(sequences) * N_DRAWS
    n_points, n_shape = sequences.shape[1] // N_DRAWS // 2, shape.shape[1] // N_DRAWS
    return Inputs(sequences.reshape(n_rows, n_points, 2), shape.reshape(n_rows, n_shape))


def _read_arrays(
    root: Path, receipts: list[Receipt], wanted: NDArray[np.bool_], names: list[str]
) -> list[NDArray[np.float32]]:
    """Read some inputs of the wanted stars, a row a star."""
    widths = _widths(root, receipts, names)
    n_stars = np.count_nonzero(wanted)
    arrays = [np.empty((n_stars, width), np.float32) for width in widths]
    ends = np.cumsum([receipt.rows for receipt in receipts])
    filled = 0
    for receipt, rows in zip(receipts, np.split(wanted, ends[:-1]), strict=True):
        shard = pq.read_table(readable(root / receipt.path), columns=names)
        stop = filled + int(np.count_nonzero(rows))
        for name, array in zip(names, arrays, strict=True):
            flat = shard.column(name).combine_chunks().flatten().to_numpy()
            array[filled:stop] = flat.reshape(len(rows), array.shape[1])[rows]
        filled = stop
    return arrays


def size_in_memory(root: Path, receipts: list[Receipt]) -> int:
    """Return the bytes that the inputs of a training set take in memory."""
    itemsize = np.dtype(np.float32).itemsize
    n_stars = sum(receipt.rows for receipt in receipts)
    return n_stars * itemsize * sum(_widths(root, receipts, Inputs._fields))


def _widths(root: Path, receipts: list[Receipt], names: Sequence[str]) -> list[int]:
    """Return how many numbers a star has of each input."""
    schema = pq.read_schema(readable(root / receipts[0].path))
    return [schema.field(name).type.list_size for name in names]
