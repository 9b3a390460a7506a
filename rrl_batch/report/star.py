"""A single star of a catalogue: what is known of it in words, and as a figure."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrl_batch.catalogue.find import find_star
from rrl_batch.catalogue.origin import model_of, survey_of
from rrl_batch.catalogue.recompute import recompute_star
from rrl_batch.catalogue.verify import read_manifest
from rrl_batch.contracts import CATALOGUE, Column, Flag
from rrl_batch.contracts.flags import DESCRIPTIONS
from rrl_batch.errors import UserError
from rrl_batch.report.catalogue_counts import count_catalogue
from rrl_batch.report.drawing import save
from rrl_batch.report.star_curves import curves_of
from rrl_batch.report.star_figures import StarCurve, star_page

_DECIMALS = {"deg": 6, "d": 7, "mag": 3, "dex": 3, "rad": 3, None: 3}
_FORMATS = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Star:
    """A star of a catalogue, and what survey and model give for it now.

    Parameters
    ----------
    catalogue : pathlib.Path
        Folder of the catalogue.
    provenance : dict
        Where the catalogue comes from.
    row : dict
        Values of the star, by column; None where there is none.
    curve : StarCurve or None
        Its light curve, where survey and model are there.
    remark : str
        Whether it comes out as it is in the catalogue, or why that is not known.
    """

    catalogue: Path
    provenance: dict[str, Any]
    row: dict[str, Any]
    curve: StarCurve | None
    remark: str

    def lines(self) -> Iterator[str]:
        """Yield what is known of the star, as text."""
        if self.provenance["synthetic"]:
            yield "SYNTHETIC: a simulated star, not a measurement"
        width = max(map(len, CATALOGUE.names))
        for column in CATALOGUE.columns:
            value = _text(column, self.row[column.name])
            yield f"{column.name:<{width}}  {value:>20} {column.unit or '':<4} {column.description}"
        yield ""
        raised = [flag for flag in Flag if self.row["flags"] & flag]
        for flag in raised:
            yield f"{flag.name}: {DESCRIPTIONS[flag]}"
        if not raised:
            yield "No flag is raised."
        yield f"Scale of the metallicities: {self.provenance['scale']}."
        yield self.remark

    def draw(self, file: Path) -> None:
        """Write a figure of the star.

        Parameters
        ----------
        file : pathlib.Path
            What to write: .png, .svg or .pdf.

        Raises
        ------
        RunError
            If it cannot be written.
        """
        synthetic = bool(self.provenance["synthetic"])
        figure = star_page(self.row, self.curve, count_catalogue(self.catalogue), synthetic)
        save(figure, file, synthetic)


def check_figure(file: Path) -> None:
    """Refuse a file in whose format no figure can be written."""
    if file.suffix.lower() not in _FORMATS:
        raise UserError(
            f"{file} has the ending '{file.suffix}'; a figure is one of: {', '.join(_FORMATS)}."
        )


def look_at_star(
    catalogue: Path, source_id: int, survey: Path | None = None, model: Path | None = None
) -> Star:
    """Look up a star of a catalogue, and compute it again from survey and model.

    Only the partition that holds the star is read, and only its batch is computed.

    Parameters
    ----------
    catalogue : pathlib.Path
        Folder of the catalogue.
    source_id : int
        Identifier of the star.
    survey, model : pathlib.Path, optional
        Where they are now; where the catalogue says that they were, if not given.

    Raises
    ------
    UserError
        If there is no finished catalogue, the star is not in it, or a survey or model that is given
        is not the one that it was made from.
    """
    manifest = read_manifest(catalogue)
    found = find_star(catalogue, source_id)
    try:
        origin, source = survey_of(manifest, survey), model_of(manifest, model)
    except UserError as error:
        if survey or model:
            raise
        return Star(catalogue, manifest.provenance, found.row, None, f"Not computed again: {error}")
    light_curve, differences = recompute_star(found, origin, source)
    remark = (
        differences[0]
        if differences
        else ("Computed again from survey and model, it comes out the same, to the last bit.")
    )
    curve = curves_of(light_curve, source)[source_id]
    return Star(catalogue, manifest.provenance, found.row, curve, remark)


def _text(column: Column, value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.{_DECIMALS[column.unit]}f}" if isinstance(value, float) else str(value)
