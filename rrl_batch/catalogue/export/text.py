"""A catalogue as CSV, which can say nothing of itself, and the README that says it."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.csv

from rrl_batch.catalogue.export.product import Product
from rrl_batch.contracts import Flag
from rrl_batch.contracts.flags import DESCRIPTIONS
from rrl_batch.storage.commit import replacing
from rrl_batch.storage.votable import flattened


def write_csv(product: Product, path: Path) -> None:
    """Write a catalogue as CSV, a partition at a time."""
    options = pyarrow.csv.WriteOptions(quoting_header="none")
    with pyarrow.csv.CSVWriter(path, product.contract.schema, write_options=options) as writer:
        for piece in product.pieces():
            writer.write_table(piece.table)


def readme_of(target: Path) -> Path:
    """Return the file that says what a CSV file holds."""
    return target.with_name(f"{target.stem}.README.md")


def write_readme(product: Product, target: Path) -> None:
    """Write what a CSV file holds: columns with units and UCDs, flags, provenance."""
    with replacing(readme_of(target)) as partial:
        partial.write_text("\n".join(_readme(product, target)) + "\n", encoding="utf-8")


def _readme(product: Product, target: Path) -> Iterator[str]:
    about = dict(flattened(product.provenance))
    yield f"# {target.name}\n"
    yield f"{about['description']}.\n"
    yield (
        f"{product.rows:,} rows, one a star, in order of position on the sky; [Fe/H] is on the "
        f"scale `{about['scale']}`. A field without anything in it is a value that is missing. "
        f"Numbers have as many digits as it takes to read the same number again; `source_id` "
        f"needs all 64 bits of an integer.\n"
    )
    yield "| column | type | unit | UCD | meaning |"
    yield "|---|---|---|---|---|"
    for column in product.contract.columns:
        yield (
            f"| `{column.name}` | {column.type} | {column.unit or ''} | {column.ucd} "
            f"| {column.description} |"
        )
    yield "\n`flags` is the sum of:\n"
    yield "| value | name | meaning |"
    yield "|---|---|---|"
    for flag in Flag:
        yield f"| {flag.value} | {flag.name} | {DESCRIPTIONS[flag]} |"
    yield "\nProvenance:\n"
    yield from (f"    {name}: {value}" for name, value in about.items())
