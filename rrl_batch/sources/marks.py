"""Metallicities and errors that are none: what tables write where there is no value."""

import logging

import pyarrow as pa
import pyarrow.compute as pc

MAX_ABSOLUTE_FEH = 5.0
"""dex; far from every RR Lyrae star. Marks such as -9.99, 99.9 or -9999 are beyond."""

log = logging.getLogger(__name__)


def without_marks(table: pa.Table, where: str) -> pa.Table:
    """Return the rows that have a metallicity; errors that are none become null.

    Parameters
    ----------
    table : pyarrow.Table
        With `feh` and `feh_error`, in dex.
    where : str
        What it was read from, for messages.

    Returns
    -------
    pyarrow.Table
        Rows with a `feh` within `MAX_ABSOLUTE_FEH` of zero. `feh_error` is positive and as small,
        or null.
    """
    feh = _between(table["feh"], -MAX_ABSOLUTE_FEH)
    error = _between(table["feh_error"], 0.0)
    stated = pc.invert(pc.is_null(table["feh_error"], nan_is_null=True))
    none = pc.sum(pc.and_(stated, pc.is_null(error))).as_py()
    if none:
        log.warning(
            "%s: %d errors of metallicities are not between 0 and %g dex, and taken as unknown.",
            where, none, MAX_ABSOLUTE_FEH,
        )  # fmt: skip
    if feh.null_count:
        log.warning(
            "%s: %d of %d rows have no metallicity within %g dex of zero and are left out.",
            where, feh.null_count, len(feh), MAX_ABSOLUTE_FEH,
        )  # fmt: skip
    place = table.column_names.index("feh_error")
    table = table.set_column(place, table.schema.field("feh_error"), error)
    return table.filter(pc.is_valid(feh))


def _between(values: pa.ChunkedArray, lowest: float) -> pa.ChunkedArray:
    """Return values with null in place of those that are not between, NaN among them."""
    possible = pc.and_(pc.greater(values, lowest), pc.less(values, MAX_ABSOLUTE_FEH))
    return pc.if_else(possible, values, pa.scalar(None, values.type))
