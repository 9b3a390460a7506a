"""Distances from metallicities, mean magnitudes and extinction, as columns of an export."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rrl_batch.catalogue.distances.extinction import Extinction, extinction_of
from rrl_batch.catalogue.distances.luminosity import Luminosity, LuminosityRelation
from rrl_batch.catalogue.verify import read_manifest
from rrl_batch.contracts import Column
from rrl_batch.contracts.scales import Relation, Scales

_F32 = pa.float32()

COLUMNS = (
    Column("absorption_g", _F32, "mag", "phys.absorption;em.opt",
           "Absorption in G towards the star"),
    Column("abs_mag_g", _F32, "mag", "phys.magAbs;em.opt",
           "Absolute magnitude in G, from feh"),
    Column("distance_modulus", _F32, "mag", "phot.mag.distMod",
           "Distance modulus, corrected for absorption"),
    Column("distance_modulus_error", _F32, "mag", "stat.error;phot.mag.distMod",
           "Standard error of distance_modulus, without what is the same for all stars"),
    Column("distance", _F32, "kpc", "pos.distance",
           "Distance"),
    Column("distance_lo", _F32, "kpc", "pos.distance;stat.min",
           "Distance at the lower end of the 68 % interval of distance_modulus"),
    Column("distance_hi", _F32, "kpc", "pos.distance;stat.max",
           "Distance at the upper end of the 68 % interval of distance_modulus"),
)  # fmt: skip


def distances_of(
    catalogue: Path,
    relation: str,
    extinction: str,
    luminosity: Path | None = None,
    scales: Path | None = None,
) -> "Distances":
    """Return how distances of a catalogue's stars are computed.

    Parameters
    ----------
    catalogue : pathlib.Path
        Folder of the catalogue.
    relation : str
        Name of the relation between absolute magnitude and metallicity.
    extinction : str
        Where the extinction comes from, as of `extinction_of`.
    luminosity, scales : pathlib.Path, optional
        Files of relations, and of metallicity scales, in place of the package's.

    Raises
    ------
    UserError
        If there is no such relation, a file does not hold what it should, or there is no finished
        catalogue.
    """
    scale = str(read_manifest(catalogue).provenance["scale"])
    known = Luminosity.read(luminosity)
    chosen = known.find(relation)
    calibration = Scales.read(scales).relation(scale, chosen.scale)
    source = extinction_of(extinction, known.extinction)
    about = {"source": extinction, **known.extinction.model_dump(mode="json")}
    return Distances(chosen, source, scale, calibration, about)


@dataclass(frozen=True)
class Distances:
    """Distances of the catalogue's stars.

    Parameters
    ----------
    relation : LuminosityRelation
        Absolute magnitude as a function of metallicity.
    extinction : callable
        Absorption of each star.
    scale : str
        Metallicity scale of the catalogue.
    calibration : Relation or None
        How its metallicities come to the scale of `relation`; None where they are on it, or no
        relation is known, so that they are taken as they are.
    about_extinction : dict
        What the extinction comes from.
    """

    relation: LuminosityRelation
    extinction: Extinction
    scale: str
    calibration: Relation | None
    about_extinction: dict[str, Any]
    columns: tuple[Column, ...] = field(default=COLUMNS, init=False)

    @property
    def about(self) -> dict[str, Any]:
        """What they are made from."""
        return {
            "relation": self.relation.model_dump(mode="json"),
            "extinction": self.about_extinction,
            "calibration": self.calibration.content() if self.calibration else self.in_words,
        }

    @property
    def in_words(self) -> str:
        """How the catalogue's metallicities come to the scale of the relation."""
        ours, other = self.scale, self.relation.scale
        if ours == other:
            return f"feh is on the scale of the relation, {other}"
        if self.calibration:
            return f"feh is calibrated from {ours} to {other}"
        return f"no relation from {ours} to {other} is known: feh is taken as it is"

    def compute(self, table: pa.Table) -> list[pa.Array]:
        """Return the columns for some rows of the catalogue.

        The error of a distance modulus is made up of those of `feh`, with the scatter of the
        calibration, and of the absorption, the intrinsic scatter of the relation, and the error
        of the mean magnitude. For the last, the plain mean of N epochs at random phases of a curve
        that falls evenly stands, amplitude / √(12 N), which the mean of a smoothed curve does not
        exceed. What is the same for all stars, the errors of slope and zero point, is left out.
        """
        feh, error, mean, amplitude, epochs = (
            table[name].to_numpy().astype(np.float64)
            for name in ("feh", "feh_error", "int_average_g", "amplitude_g", "num_epochs_used")
        )
        if self.calibration:
            feh, error = self.calibration.apply(feh, error)
        relation = self.relation
        in_mode = np.isin(table["best_classification"].to_numpy(), relation.modes)
        absolute = np.where(in_mode, relation.slope * feh + relation.zero_point, np.nan)
        absorption = self.extinction(table)
        modulus = mean - absorption.value - absolute
        sampling = amplitude / np.sqrt(12 * np.maximum(epochs, 1))
        modulus_error = np.sqrt(
            (relation.slope * error) ** 2 + relation.scatter**2 + absorption.error**2 + sampling**2
        )
        modulus_error[np.isnan(modulus)] = np.nan
        ends = (modulus, modulus - modulus_error, modulus + modulus_error)
        values = [absorption.value, absolute, modulus, modulus_error, *map(_kpc, ends)]
        return [pa.array(value.astype(np.float32), _F32, from_pandas=True) for value in values]


def _kpc(modulus: NDArray[np.float64]) -> NDArray[np.float64]:
    return 10 ** (modulus / 5 - 2)
