"""What a catalogue's page shows of all stars: counts in bins, which add up over the sky."""

from pathlib import Path

import numpy as np
import pandas as pd

from rrl_batch.catalogue.verify import read_manifest, read_partition
from rrl_batch.contracts import CATALOGUE, Flag
from rrl_batch.report.counting import Bins, Cells, Counts
from rrl_batch.report.regions import REGIONS, regions_of
from rrl_batch.report.sky import map_order, pixels_of
from rrl_batch.report.survey_stars import MODES, OTHER

MODE_NAMES = (*MODES, OTHER)

FEH = Bins(-3.5, 1.0, 90)
ERROR = Bins(0.0, 1.0, 200)
PERIOD = Bins(0.2, 1.0, 80)
AMPLITUDE = Bins(0.0, 1.6, 80)
MAGNITUDE = Bins(10.0, 21.5, 23)
EPOCHS = Bins(0.0, 300.0, 30)
"""Bins of [Fe/H] and its errors (dex), period (d), amplitude and mean magnitude (mag), epochs."""

ERRORS = {
    name: words
    for name, words in {
        "feh_error": "total",
        "feh_model_error": "spread of the ensemble",
        "feh_noise_error": "noise of the photometry and of the period",
    }.items()
    if name in CATALOGUE.names
}
"""Columns of the error budget, and what they are."""

COLUMNS = [
    "source_id", "ra", "dec", "best_classification", "period", "feh", *ERRORS, "feh_baseline",
    "num_epochs_used", "int_average_g", "amplitude_g", "flags",
]  # fmt: skip
"""What is read of the catalogue."""


class CatalogueCounts:
    """Counts of the stars of a catalogue, to which a piece of the sky after the other is added.

    Parameters
    ----------
    order : int
        Order of the HEALPix pixels of the maps.

    Attributes
    ----------
    modes : Counts
        By mode: without [Fe/H], with [Fe/H] and a flag, with [Fe/H] and no flag.
    feh_by_mode, error_by_mode, feh_by_region, error_by_region : Counts
        By mode or region: values of `feh` and `feh_error`.
    density, sky_feh, sky_error : Counts
        By HEALPix pixel: stars, and values of `feh` and `feh_error`.
    bailey, bailey_feh : Counts
        By period and amplitude: stars, and values of `feh`.
    by_magnitude, by_epochs : Counts
        By column of the error budget, and mean magnitude or number of epochs: errors.
    by_flag, error_by_flag : Counts
        By flag, without and with it: stars, and values of `feh_error`.
    """

    def __init__(self, order: int) -> None:
        self.order = order
        n_pixels, n_modes, n_errors = 12 * 4**order, len(MODE_NAMES), len(ERRORS)
        self.modes = Counts(n_modes, 3)
        self.feh_by_mode = Counts(n_modes, FEH.number)
        self.error_by_mode = Counts(n_modes, ERROR.number)
        self.stars_by_region = Counts(len(REGIONS))
        self.feh_by_region = Counts(len(REGIONS), FEH.number)
        self.error_by_region = Counts(len(REGIONS), ERROR.number)
        self.density = Counts(n_pixels)
        self.sky_feh = Counts(n_pixels, FEH.number)
        self.sky_error = Counts(n_pixels, ERROR.number)
        self.bailey = Counts(PERIOD.number, AMPLITUDE.number)
        self.bailey_feh = Counts(PERIOD.number, AMPLITUDE.number, FEH.number)
        self.by_magnitude = Counts(n_errors, MAGNITUDE.number, ERROR.number)
        self.by_epochs = Counts(n_errors, EPOCHS.number, ERROR.number)
        self.by_flag = Counts(len(Flag), 2)
        self.error_by_flag = Counts(len(Flag), 2, ERROR.number)

    def add(self, stars: pd.DataFrame) -> None:
        """Count the stars of a piece of the sky.

        Parameters
        ----------
        stars : pandas.DataFrame
            Rows of the catalogue, with `COLUMNS`.
        """
        feh, error = FEH.cells(stars["feh"]), ERROR.cells(stars["feh_error"])
        mode = modes_of(stars["best_classification"])
        unflagged = (stars["flags"] == 0).to_numpy()
        self.modes.add(mode, np.where(feh < 0, 0, np.where(unflagged, 2, 1)))
        self.feh_by_mode.add(mode, feh)
        self.error_by_mode.add(mode, error)
        for number, inside in enumerate(regions_of(stars)):
            self.stars_by_region.add(np.where(inside, number, -1))
            self.feh_by_region.add(number, np.where(inside, feh, -1))
            self.error_by_region.add(number, np.where(inside, error, -1))
        self._add_to_maps(stars, feh, error)
        period, amplitude = PERIOD.cells(stars["period"]), AMPLITUDE.cells(stars["amplitude_g"])
        self.bailey.add(period, amplitude)
        self.bailey_feh.add(period, amplitude, feh)
        for number, column in enumerate(ERRORS):
            of_column = ERROR.cells(stars[column])
            self.by_magnitude.add(number, MAGNITUDE.cells(stars["int_average_g"]), of_column)
            self.by_epochs.add(number, EPOCHS.cells(stars["num_epochs_used"]), of_column)
        for number, flag in enumerate(Flag):
            raised = (stars["flags"].to_numpy() & int(flag)) != 0
            self.by_flag.add(number, raised.astype(np.int64))
            self.error_by_flag.add(number, raised.astype(np.int64), error)

    def _add_to_maps(self, stars: pd.DataFrame, feh: Cells, error: Cells) -> None:
        placed = stars[["ra", "dec"]].notna().all(axis=1).to_numpy()
        pixels = pixels_of(stars[placed], self.order)
        self.density.add(pixels)
        self.sky_feh.add(pixels, feh[placed])
        self.sky_error.add(pixels, error[placed])


def count_catalogue(root: Path) -> CatalogueCounts:
    """Count the stars of a catalogue, read partition by partition.

    Parameters
    ----------
    root : pathlib.Path
        Folder of the catalogue.

    Raises
    ------
    UserError
        If there is no finished catalogue, or a file of it cannot be read.
    """
    manifest = read_manifest(root)
    counts = CatalogueCounts(map_order(manifest.rows))
    for receipt in manifest.partitions:
        counts.add(read_partition(root, receipt, COLUMNS).to_pandas())
    return counts


def modes_of(classification: pd.Series) -> Cells:
    """Return the number of each star's mode in `MODE_NAMES`."""
    numbers = classification.map({mode: number for number, mode in enumerate(MODES)})
    return np.asarray(numbers.fillna(len(MODES)), np.int64)
