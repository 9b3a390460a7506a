"""A catalogue as Parquet with the metadata of VOParquet: in one file, or in the HATS layout."""

import json
from pathlib import Path

import pyarrow.parquet as pq

from rrl_batch.catalogue.export.product import Product
from rrl_batch.contracts import Contract
from rrl_batch.storage.commit import fingerprint
from rrl_batch.storage.sky import INDEX_COLUMN, write_hats_metadata
from rrl_batch.storage.votable import voparquet


def write_parquet(product: Product, path: Path) -> None:
    """Write a catalogue as one Parquet file, a row group a partition."""
    schema = product.contract.schema.with_metadata(_about(product, product.contract))
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for piece in product.pieces():
            writer.write_table(piece.table)


def write_hats(product: Product, root: Path) -> None:
    """Write a catalogue in the HATS layout, a file a partition, as LSDB reads it."""
    contract = Contract("catalogue", (INDEX_COLUMN, *product.contract.columns))
    about = _about(product, contract)
    mark = fingerprint([piece.sha256 for piece in product.manifest.partitions], about)
    pixels = []
    for piece in product.pieces():
        path = root / piece.pixel.file(mark)
        path.parent.mkdir(parents=True, exist_ok=True)
        table = piece.table.add_column(0, INDEX_COLUMN.field, piece.index)
        pq.write_table(table.replace_schema_metadata(about), path, compression="zstd")
        pixels.append(piece.pixel)
    write_hats_metadata(root, pixels, mark, product.rows, product.provenance["description"])


def _about(product: Product, contract: Contract) -> dict[str, str]:
    about = product.provenance
    described = voparquet(contract, about, product.text_widths)
    return {"provenance": json.dumps(about), "scale": about["scale"], **described}
