"""Compute some stars of a catalogue again, from survey and model, and compare to the last bit."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rrl_batch.catalogue.find import FoundStar
from rrl_batch.catalogue.origin import model_of, survey_of
from rrl_batch.catalogue.verify import read_manifest
from rrl_batch.contracts import CATALOGUE, Flag
from rrl_batch.inference.isolation import predict_around
from rrl_batch.inference.model import Model
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.storage.manifest import same_values
from rrl_batch.storage.remote import readable
from rrl_batch.storage.sky import Pixel, with_positions
from rrl_batch.survey.read import Survey, SurveyPartition


def recompute(
    root: Path, n_stars: int, seed: int, survey: Path | None = None, model: Path | None = None
) -> tuple[int, list[str]]:
    """Compare random stars of a catalogue with what survey and model give now.

    A star is computed in the company that it had, the whole batch.

    Parameters
    ----------
    root : pathlib.Path
        Folder of the catalogue.
    n_stars : int
        How many stars; all if there are fewer.
    seed : int
        Seed of the choice.
    survey, model : pathlib.Path, optional
        Where they are now; where the catalogue says that they were, if not given.

    Returns
    -------
    n_compared : int
        Number of stars that were compared.
    faults : list of str
        A sentence for each star that comes out otherwise.

    Raises
    ------
    UserError
        If there is no finished catalogue, or survey or model are missing or others.
    """
    manifest = read_manifest(root)
    origin, source = survey_of(manifest, survey), model_of(manifest, model)
    pieces = {piece.pixel: piece for piece in origin.partitions}
    n_stars = min(n_stars, manifest.rows)
    chosen = np.random.default_rng(seed).choice(manifest.rows, n_stars, replace=False)
    first = 0
    faults: list[str] = []
    for receipt in manifest.partitions:
        rows = np.sort(chosen[(chosen >= first) & (chosen < first + receipt.rows)] - first)
        first += receipt.rows
        if len(rows):
            table = pq.read_table(readable(root / receipt.path), columns=CATALOGUE.names)
            piece = pieces[Pixel.from_path(receipt.path)]
            for _, again in _computed(piece, source, table, table["source_id"].take(rows)):
                faults += _differences(table, again)
    return n_stars, faults


def recompute_star(
    found: FoundStar, survey: Survey, model: Model
) -> tuple[LightCurveBatch, list[str]]:
    """Compare a star of a catalogue with what survey and model give now.

    Parameters
    ----------
    found : FoundStar
        Where the star is in the catalogue.
    survey : Survey
        The survey that the catalogue was made from.
    model : Model
        The model that it was made with.

    Returns
    -------
    LightCurveBatch
        The star alone.
    list of str
        A sentence if it comes out otherwise.
    """
    pieces = {piece.pixel: piece for piece in survey.partitions}
    wanted = pa.chunked_array([[found.source_id]], pa.int64())
    computed = _computed(pieces[found.pixel], model, found.partition, wanted)
    batch, again = next(computed)
    star = batch.select(batch.stars["source_id"] == found.source_id)
    return star, list(_differences(found.partition, again))


def _computed(
    piece: SurveyPartition, model: Model, table: pa.Table, stars: pa.ChunkedArray
) -> Iterator[tuple[LightCurveBatch, pa.Table]]:
    """Yield the batches of a partition with some stars, and the catalogue's rows of these."""
    failed = pc.filter(
        table["source_id"], pc.greater(pc.bit_wise_and(table["flags"], _FAILED), 0)
    ).to_numpy()
    wanted = stars.to_numpy()
    for batch in piece.batches():
        if batch.stars["source_id"].isin(wanted).any():
            rows = with_positions(_rows_of(batch, model, failed))
            rows = rows[rows["source_id"].isin(wanted)]
            table = pa.Table.from_pandas(rows, preserve_index=False)
            yield batch, CATALOGUE.conform(table, "catalogue")


_FAILED = pa.scalar(int(Flag.COMPUTATION_FAILED), pa.int32())


def _rows_of(batch: LightCurveBatch, model: Model, failed: np.ndarray) -> pd.DataFrame:
    failing = batch.stars["source_id"].isin(failed).to_numpy()
    return predict_around(model.predict, batch, failing) if failing.any() else model.predict(batch)


def _differences(table: pa.Table, again: pa.Table) -> Iterator[str]:
    """Yield a sentence for each star whose row differs."""
    places = pc.index_in(again["source_id"], table["source_id"])
    written = table.take(places).replace_schema_metadata(None)
    again = again.replace_schema_metadata(None)
    for row in range(len(again)):
        ours, theirs = written.slice(row, 1), again.slice(row, 1)
        names = [
            n for n in CATALOGUE.names if not same_values(ours.select([n]), theirs.select([n]))
        ]
        if names:
            values = ", ".join(f"{n} {theirs[n][0]} instead of {ours[n][0]}" for n in names)
            yield f"Star {ours['source_id'][0]} comes out otherwise when computed again: {values}."
