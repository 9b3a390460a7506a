"""The page of a catalogue: one HTML file that needs nothing else, and its numbers as JSON."""

import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from rrl_batch.catalogue.origin import model_of, survey_of
from rrl_batch.catalogue.verify import read_manifest, read_partition
from rrl_batch.errors import UserError
from rrl_batch.report import catalogue_figures as figures
from rrl_batch.report import catalogue_tables as tables
from rrl_batch.report.catalogue_choice import ChosenStars
from rrl_batch.report.catalogue_counts import COLUMNS, CatalogueCounts
from rrl_batch.report.drawing import png
from rrl_batch.report.html import Table, environment, picture, provenance_of, short_name
from rrl_batch.report.sky import map_order
from rrl_batch.report.star_curves import star_curves
from rrl_batch.report.star_figures import StarCurve, light_curve, value_of
from rrl_batch.storage.commit import replacing, write_json
from rrl_batch.storage.manifest import Manifest
from rrl_batch.storage.sky import Pixel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "summary"
PAGE = "index.html"
NUMBERS = "summary.json"

Picture = dict[str, str]
Row = dict[str, Any]


class Section(NamedTuple):
    """A part of the page: a table, and the figures that go with it."""

    table: Table
    figures: Sequence[Picture] = ()
    narrow: bool = False


_OF_MODES: list[tuple[Callable[[CatalogueCounts, bool], "Figure"], str, str]] = [
    (figures.feh_by_mode, "Histograms of [Fe/H], a line for each pulsation mode.",
     "[Fe/H] by pulsation mode"),
    (figures.bailey_diagram, "Amplitudes against periods in cells, coloured by median [Fe/H].",
     "Bailey diagram: amplitude against period, coloured by the median [Fe/H]; grey where stars "
     "have none"),
]  # fmt: skip
_OF_SKY = [
    (figures.density_map, "Map of the sky: number of stars per square degree.",
     "Density of stars"),
    (figures.feh_map, "Map of the sky: median [Fe/H] of the stars of a pixel.", "Median [Fe/H]"),
    (figures.error_map, "Map of the sky: median error of [Fe/H] of the stars of a pixel.",
     "Median error of [Fe/H]"),
    (figures.feh_by_region, "Histograms of [Fe/H], a line for each region of the table.",
     "[Fe/H] by region"),
]  # fmt: skip
_OF_ERRORS = [
    (figures.errors_by_magnitude, "Medians of the errors in bins of the mean magnitude.",
     "Errors against magnitude"),
    (figures.errors_by_epochs, "Medians of the errors in bins of the number of epochs.",
     "Errors against number of epochs"),
]  # fmt: skip


def write_catalogue_page(
    folder: Path, survey: Path | None = None, model: Path | None = None
) -> Path:
    """Write the page of a catalogue into a folder `summary` of its own.

    The rows are read partition by partition and only counted. Light curves are drawn if the survey
    and the model are still there.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the catalogue.
    survey, model : pathlib.Path, optional
        Where they are now; where the catalogue says that they were, if not given.

    Returns
    -------
    pathlib.Path
        The page; `summary.json` beside it holds the numbers of its tables.

    Raises
    ------
    UserError
        If there is no finished catalogue, a file of it cannot be read, or a survey or model that is
        given is not the one that it was made from.
    RunError
        If a file cannot be written.
    """
    manifest = read_manifest(folder)
    provenance, synthetic = manifest.provenance, bool(manifest.provenance["synthetic"])
    counts, chosen = CatalogueCounts(map_order(manifest.rows)), ChosenStars()
    for number, receipt in enumerate(manifest.partitions):
        stars = read_partition(folder, receipt, COLUMNS).to_pandas()
        counts.add(stars)
        chosen.look_at(stars.assign(_piece=number))
    curves, notes = _curves(chosen, manifest, survey, model)
    numbers = tables.numbers(counts)
    page = (
        environment()
        .get_template("catalogue.html")
        .render(
            name=short_name(folder),
            synthetic=synthetic,
            description=provenance["description"],
            summary=tables.summary(counts, provenance["scale"]),
            notes=notes,
            sections=[
                Section(tables.modes(numbers["modes"]), _drawn(_OF_MODES, counts, synthetic)),
                Section(tables.regions(numbers["regions"]), _drawn(_OF_SKY, counts, synthetic)),
                Section(tables.errors(numbers["errors"]), _drawn(_OF_ERRORS, counts, synthetic)),
                Section(tables.flags(numbers["flags"], manifest.rows)),
                *map(Section, tables.training(provenance["model"])),
                *_of_stars(chosen, curves, synthetic),
            ],
            figures=[],
            commands=_commands(provenance, folder),
            provenance=_provenance(manifest, folder),
            numbers=NUMBERS,
        )
    )
    with replacing(folder / FOLDER / PAGE) as partial:
        partial.write_text(page, encoding="utf-8")
    write_json(
        folder / FOLDER / NUMBERS,
        {
            "stars": manifest.rows,
            "synthetic": synthetic,
            "scale": provenance["scale"],
            **{name: _records(table) for name, table in numbers.items()},
        },
    )
    return folder / FOLDER / PAGE


def _drawn(
    wanted: Iterable[tuple[Callable[[CatalogueCounts, bool], "Figure"], str, str]],
    counts: CatalogueCounts,
    synthetic: bool,
) -> list[Picture]:
    return [
        picture(png(draw(counts, synthetic), caption, synthetic), alt, caption)
        for draw, alt, caption in wanted
    ]


def _curves(
    chosen: ChosenStars, manifest: Manifest, survey: Path | None, model: Path | None
) -> tuple[dict[int, StarCurve], list[str]]:
    """Return the light curves of the chosen stars, or why there are none."""
    try:
        origin, source = survey_of(manifest, survey), model_of(manifest, model)
    except UserError as error:
        if survey or model:
            raise
        return {}, [f"No light curves are shown, since survey or model are not there. {error}"]
    pixels = [Pixel.from_path(receipt.path) for receipt in manifest.partitions]
    wanted = {
        int(star): pixels[piece]
        for choice in chosen.choices
        for star, piece in zip(choice.stars["source_id"], choice.stars["_piece"], strict=True)
    }
    return star_curves(origin, source, wanted), []


def _of_stars(chosen: ChosenStars, curves: dict[int, StarCurve], synthetic: bool) -> list[Section]:
    sections = []
    for choice in chosen.choices:
        rows = _records(choice.stars)
        shown = [
            _light_curve(row, curves[row["source_id"]], synthetic)
            for row in rows
            if row["source_id"] in curves
        ]
        sections.append(Section(tables.stars(choice, rows), shown, narrow=True))
    return sections


def _light_curve(row: Row, curve: StarCurve, synthetic: bool) -> Picture:
    name = f"{row['source_id']}"
    alt = (
        f"Folded epochs of star {name} with the smoothed curve, and below how [Fe/H] would change; "
        f"{value_of(row)}."
    )
    return picture(png(light_curve(row, curve, synthetic), name, synthetic), alt, name)


def _records(table: pd.DataFrame) -> list[Row]:
    """Return the rows of a table, None where there is no value."""
    columns = [name for name in table.columns if not str(name).startswith("_")]
    known = table[columns].astype(object).where(table[columns].notna(), None)
    return [{str(name): value for name, value in row.items()} for row in known.to_dict("records")]


def _commands(provenance: dict[str, Any], folder: Path) -> list[str]:
    """Return the commands that make and check the catalogue."""
    model, survey = provenance["model"]["path"], provenance["survey"]["path"]
    return [
        shlex.join(["rrl-batch", *map(str, words)])
        for words in (
            ("predict", "--model", model, "--survey", survey, "--out", folder),
            ("verify", folder, "--deep"),
            ("report", folder),
        )
    ]


def _provenance(manifest: Manifest, folder: Path) -> dict[str, str]:
    size = f"{manifest.rows:,} stars in {len(manifest.partitions):,} partitions"
    return {"catalogue": f"{folder}: {size}", **provenance_of(manifest.provenance)}
