"""Bring labels on several metallicity scales to one, by the relations that are known."""

import numpy as np
import pandas as pd
import pyarrow as pa

from rrl_batch.contracts.scales import Relation, Scales
from rrl_batch.errors import UserError
from rrl_batch.sources.labels import MadeLabels


def on_scale(labels: MadeLabels, to: str, scales: Scales) -> MadeLabels:
    """Return labels of which those that a relation holds for are on one scale.

    All others stay on their own scale, and so apart. Where a star has a label on the scale
    already, that one is kept, and none is calibrated.

    Parameters
    ----------
    labels : MadeLabels
        The labels.
    to : str
        The scale.
    scales : Scales
        The relations between scales.

    Returns
    -------
    MadeLabels
        What was made of which relation, and of how many stars, is in `made_from`, as `calibrated`.

    Raises
    ------
    UserError
        If there is no relation from any of the labels' scales to this one.
    """
    table = labels.table.to_pandas()
    own = set(table.loc[table["scale"] == to, "source_id"])
    others = [scale for scale in sorted(table["scale"].unique()) if scale != to]
    relations = [found for scale in others if (found := scales.relation(scale, to))]
    if others and not relations:
        known = ", ".join(f"{r.source} to {r.to}" for r in scales.relations) or "none at all"
        raise UserError(
            f"There is no relation from the scale '{others[0]}' to '{to}'; those known: {known}. "
            f"Name a file with others by --relations."
        )
    about = []
    for relation in relations:
        chosen = _chosen(table, relation) & ~table["source_id"].isin(own)
        about.append(_calibrate(table, chosen, relation))
        own |= set(table.loc[chosen, "source_id"])
    result = pa.Table.from_pandas(table, schema=labels.table.schema, preserve_index=False)
    return MadeLabels(result, labels.made_from | {"calibrated": about})


def _chosen(table: pd.DataFrame, relation: Relation) -> "pd.Series[bool]":
    return (table["scale"] == relation.source) & relation.holds_for(table["feh"])


def _calibrate(
    table: pd.DataFrame, chosen: "pd.Series[bool]", relation: Relation
) -> dict[str, object]:
    """Bring chosen labels to the relation's scale, in place, and return what was done."""
    there = int((table["scale"] == relation.source).sum())
    part = table.loc[chosen]
    feh, error = relation.apply(part["feh"], part["feh_error"].astype(np.float64))
    table.loc[chosen, "feh"], table.loc[chosen, "feh_error"] = feh, error
    table.loc[chosen, "scale"] = relation.to
    stars = int(chosen.sum())
    return {"stars": stars, "kept_apart": there - stars, **relation.content()}
