"""Rows as FITS and VOTable hold them: fields of fixed width, big-endian, one row after another."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rrl_batch.catalogue.export.product import Product
from rrl_batch.contracts import Contract
from rrl_batch.storage.votable import to_ascii

NULL_MASK = "null mask"
"""Field before all others, a bit a column, that says which values of the row are missing."""


def null_of(type_: pa.DataType) -> int:
    """Return the integer that stands for a missing one: the smallest of its type."""
    return int(np.iinfo(type_.to_pandas_dtype()).min)


def records(product: Product, *, masked: bool) -> Iterator[NDArray[np.void]]:
    """Yield the rows of each partition.

    A missing number is NaN, or `null_of` its type; a missing text is empty.

    Parameters
    ----------
    product : Product
        The catalogue.
    masked : bool
        Whether each row begins with its `NULL_MASK`.

    Yields
    ------
    (n_rows,) structured ndarray
        A field a column.
    """
    contract = product.contract
    layout = _layout(contract, product.text_widths)
    if masked:
        layout.insert(0, (NULL_MASK, np.dtype((np.uint8, (-(-len(contract.names) // 8),)))))
    for piece in product.pieces():
        rows = np.empty(piece.table.num_rows, np.dtype(layout))
        for name in contract.names:
            rows[name] = _values(piece.table[name])
        if masked:
            missing = np.stack([piece.table[n].is_null().to_numpy() for n in contract.names], 1)
            rows[NULL_MASK] = np.packbits(missing, axis=1)
        yield rows


def _layout(contract: Contract, widths: Mapping[str, int]) -> list[tuple[str, np.dtype]]:
    return [
        (
            column.name,
            np.dtype(f"S{widths[column.name]}")
            if pa.types.is_string(column.type)
            else np.dtype(column.type.to_pandas_dtype()).newbyteorder(">"),
        )
        for column in contract.columns
    ]


def _values(array: pa.ChunkedArray) -> NDArray[Any]:
    if pa.types.is_string(array.type):
        codes = pc.fill_null(array, "").combine_chunks().dictionary_encode()
        words = [to_ascii(word) for word in codes.dictionary.to_pylist()]
        return np.array(words, np.bytes_)[codes.indices.to_numpy()]
    filler = np.nan if pa.types.is_floating(array.type) else null_of(array.type)
    return pc.fill_null(array, filler).to_numpy()
