"""Export a catalogue: FITS, VOTable, CSV, Parquet, HATS, and the package that the CDS takes."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from rrl_batch.catalogue.export.cds import write_cds
from rrl_batch.catalogue.export.fits import write_fits
from rrl_batch.catalogue.export.parquet import write_hats, write_parquet
from rrl_batch.catalogue.export.product import Addition, Product
from rrl_batch.catalogue.export.text import write_csv, write_readme
from rrl_batch.catalogue.export.votable import write_votable
from rrl_batch.errors import RunError, UserError
from rrl_batch.storage.commit import reason_of, replacing

__all__ = ["Addition", "export"]

_Writer = Callable[[Product, Path], None]

_FILES: dict[str, _Writer] = {
    ".fits": write_fits,
    ".vot": write_votable,
    ".csv": write_csv,
    ".parquet": write_parquet,
}
_FOLDERS: dict[str, _Writer] = {".hats": write_hats, ".cds": write_cds}

ENDINGS = (*_FILES, *_FOLDERS)
"""What the names of exports end in."""


def export(catalogue: Path, target: Path, **additions: Addition | None) -> int:
    """Write all rows of a catalogue to one file, in place of what it held, or to a new folder.

    Every value is kept bit for bit, with its unit, UCD and description where the format has a
    place for them. A missing number stays a null (NaN in FITS); a missing text is an empty one in
    FITS, VOTable and the CDS' format.

    Parameters
    ----------
    catalogue : pathlib.Path
        Folder of the catalogue.
    target : pathlib.Path
        File to write, or folder; its ending says the format: .fits, .vot, .csv or .parquet;
        .hats or .cds. All hold the catalogue's provenance; that of NAME.csv, with its columns, is
        in NAME.README.md.
    **additions : Addition, optional
        Columns that are computed besides.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    UserError
        If the ending is another one, there is no finished catalogue, the folder is not new, or the
        target lies within the catalogue.
    RunError
        If the file or folder cannot be written.
    """
    ending = target.suffix.lower()
    if ending not in ENDINGS:
        raise UserError(
            f"{target} has the ending '{target.suffix}'; a catalogue is exported as one of: "
            f"{', '.join(ENDINGS)}."
        )
    product = Product.open(catalogue, **additions)
    if catalogue.resolve() in target.resolve().parents:
        raise UserError(
            f"{target} is within the catalogue, to which no file is added; name another."
        )
    if ending in _FOLDERS:
        _write_folder(_FOLDERS[ending], product, target)
    else:
        if target.is_dir():
            raise UserError(f"{target} is a folder; name a file, or delete it.")
        with replacing(target) as partial:
            _FILES[ending](product, partial)
        if ending == ".csv":
            write_readme(product, target)
    return product.rows


def _write_folder(write: _Writer, product: Product, target: Path) -> None:
    """Write a folder beside its final name, which it gets when it is complete."""
    if target.exists():
        raise UserError(f"{target} is there already; name another folder, or delete it.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=target.parent, prefix=f"_{target.name}.") as folder:
            partial = Path(folder) / target.name
            partial.mkdir()
            write(product, partial)
            partial.rename(target)
    except OSError as error:
        raise RunError(f"{target} could not be written: {reason_of(error)}.") from error
