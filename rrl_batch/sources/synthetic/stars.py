"""The table of simulated stars."""

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray

from rrl_batch.sources.synthetic import epochs, photometry, populations, scanning, shapes, sky

FAINT_LIMIT = 21.0
"""Mean G magnitude beyond which Gaia DR3 has no RR Lyrae stars."""

FEWEST_EPOCHS = 12
"""Clean G epochs below which Gaia DR3 publishes no RR Lyrae star."""

# Magnitude at which half of the stars are found, and the width of the decline.
_COMPLETENESS = (20.5, 0.2)


def simulate_stars(n_stars: int, seed: int) -> pd.DataFrame:
    """Simulate the stars of an all-sky survey like that of Gaia DR3.

    Parameters
    ----------
    n_stars : int
        Number of stars; 270,905 for the whole of Gaia DR3.
    seed : int
        Non-negative; the same `n_stars` and `seed` give the same table.

    Returns
    -------
    pandas.DataFrame
        One row a star, ascending in `source_id`, that is in nested HEALPix order:

        - source_id (int64): nested HEALPix index of order 29, shifted left by one bit, so that
          `source_id >> 35` is the index of order 12, as in Gaia.
        - ra, dec (float64, deg): ICRS.
        - best_classification (str): RRab, RRc or RRd.
        - period (float64, d): fundamental mode of RRab, first overtone of RRc and RRd.
        - epoch_g (float64, d): first maximum after the start of the observations,
          BJD(TCB) - 2455197.5.
        - int_average_g, peak_to_peak_g (float64, mag): of the curve without modulation.
        - num_clean_epochs_g (int32): number of transits in the light curve.
        - feh (float64, dex): the truth.
        - component (str): halo, bulge, lmc, smc or sgr.

        and what the light curves need:

        - sim_feh (float64, dex): the [Fe/H] that the shape of the curve shows.
        - sim_amplitude (float64, mag): amplitude A_1 of the first harmonic.
        - sim_shape_0 .. sim_shape_2 (float64): hidden shape variables (see `shapes`).
        - sim_mean_mag (float64, mag): zero point of the Fourier series.
        - sim_phase_of_maximum (float64, cycles): of maximum light from that of the series.
        - sim_blazhko_period (d), sim_blazhko_phase (cycles), sim_blazhko_depth,
          sim_blazhko_shift (cycles) (float64): see `populations.Modulation`.
        - sim_second_period (d), sim_second_amplitude (mag) (float64): fundamental mode of an RRd;
          amplitude 0 for the other classes.
    """
    rng = np.random.default_rng(seed)
    stars = _select_observed(n_stars, rng, seed)
    stars.insert(3, "best_classification", populations.draw_classes(n_stars, rng))
    _add_pulsation(stars, rng)
    _add_light_curve_parameters(stars)
    stars = stars.sort_values("source_id", ignore_index=True)
    hidden = [name for name in stars.columns if name.startswith("sim_")]
    return stars[[name for name in _COLUMNS if name in stars] + hidden]


_COLUMNS = (
    "source_id", "ra", "dec", "best_classification", "period", "epoch_g", "int_average_g",
    "peak_to_peak_g", "num_clean_epochs_g", "feh", "component",
)  # fmt: skip


def _select_observed(n_stars: int, rng: Generator, seed: int) -> pd.DataFrame:
    """Stars that are bright enough and observed often enough, in random order."""
    edges = np.rint(np.cumsum([0.0, *sky.FRACTIONS.values()]) * n_stars).astype(int)
    tables = [
        _draw_component(component, quota, rng, seed)
        for component, quota in zip(sky.FRACTIONS, np.diff(edges), strict=True)
    ]
    return pd.concat(tables, ignore_index=True)


def _draw_component(component: str, quota: int, rng: Generator, seed: int) -> pd.DataFrame:
    """Draw stars of a component until `quota` of them pass the selection."""
    tables: list[pd.DataFrame] = []
    missing = quota
    while missing > 0 or not tables:
        n = missing + missing // 2 + 50
        positions = sky.draw_positions(component, n, rng)
        feh = populations.draw_feh(component, n, rng)
        distance_modulus = 5.0 * np.log10(positions.distance) + 10.0
        table = pd.DataFrame(
            {
                "source_id": _source_id(positions.ra, positions.dec),
                "ra": positions.ra,
                "dec": positions.dec,
                "int_average_g": populations.absolute_magnitude(feh)
                + distance_modulus
                + sky.extinction(positions),
                "feh": feh,
                "component": component,
            }
        )
        found = rng.random(n) < _completeness(table["int_average_g"].to_numpy())
        table = table[found].head(missing + missing // 20 + 10)
        ra, dec, source_id = (table[c].to_numpy() for c in ("ra", "dec", "source_id"))
        table["num_clean_epochs_g"] = epochs.count(ra, dec, source_id, seed)
        tables.append(table[table["num_clean_epochs_g"] >= FEWEST_EPOCHS].head(missing))
        missing -= len(tables[-1])
    return pd.concat(tables)


def _source_id(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.int64]:
    from hats.pixel_math.spatial_index import compute_spatial_index

    return np.asarray(compute_spatial_index(ra, dec), dtype=np.int64) << 1


def _completeness(magnitude: NDArray[np.float64]) -> NDArray[np.float64]:
    middle, width = _COMPLETENESS
    complete = 1.0 / (1.0 + np.exp((magnitude - middle) / width))
    return np.where(magnitude < FAINT_LIMIT, complete, 0.0)


def _add_pulsation(stars: pd.DataFrame, rng: Generator) -> None:
    """Add periods, amplitudes, epochs and everything hidden that is drawn."""
    n = len(stars)
    feh = stars["feh"].to_numpy()
    classes = stars["best_classification"].to_numpy().astype(str)
    period, amplitude = np.empty(n), np.empty(n)
    second_period, second_amplitude = np.ones(n), np.zeros(n)
    for name, draw in (("RRab", populations.draw_rrab), ("RRc", populations.draw_rrc)):
        period[classes == name], amplitude[classes == name] = draw(feh[classes == name], rng)
    double = classes == "RRd"
    overtone, fundamental = populations.draw_rrd(feh[double], rng)
    period[double], amplitude[double] = overtone
    second_period[double], second_amplitude[double] = fundamental

    stars["period"] = period
    stars["epoch_g"] = scanning.START + period * rng.random(n)
    stars["sim_feh"] = feh + populations.SHAPE_SCATTER * rng.standard_normal(n)
    stars["sim_amplitude"] = amplitude
    for i, column in enumerate(rng.standard_normal((shapes.N_SHAPE, n))):
        stars[f"sim_shape_{i}"] = column
    modulation = populations.draw_modulation(classes, rng)
    for name, values in modulation._asdict().items():
        stars[f"sim_blazhko_{name}"] = values
    stars["sim_second_period"], stars["sim_second_amplitude"] = second_period, second_amplitude


def _add_light_curve_parameters(stars: pd.DataFrame) -> None:
    """Add what follows from the shape of the curves."""
    series = photometry.fourier_series(stars)
    curve = shapes.extremes(series)
    stars["peak_to_peak_g"] = curve.peak_to_peak + 2.0 * stars["sim_second_amplitude"]
    stars["sim_mean_mag"] = stars["int_average_g"] - curve.intensity_mean
    stars["sim_phase_of_maximum"] = curve.phase_of_maximum
