"""Who the stars are: [Fe/H], periods, amplitudes and modulation of the three pulsation modes."""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

CLASSES = {"RRab": 174_947, "RRc": 93_952, "RRd": 2_006}
"""Stars of each class in the clean sample of Gaia DR3 (Clementini et al. 2023, A&A 674, A18)."""

# (share, mean, standard deviation) of Gaussians in [Fe/H], in round figures: the main peak of the
# labels of Dekany & Grebel 2022, a metal-poor halo, and a metal-rich tail for disc and bulge.
_FEH_MIXTURE = {
    "halo": ((0.66, -1.56, 0.24), (0.24, -1.98, 0.28), (0.10, -0.65, 0.33)),
    "bulge": ((0.68, -1.42, 0.25), (0.14, -1.95, 0.30), (0.18, -0.60, 0.28)),
    "lmc": ((0.80, -1.58, 0.25), (0.20, -1.95, 0.28)),
    "smc": ((1.00, -1.83, 0.30),),
    "sgr": ((0.80, -1.55, 0.25), (0.20, -1.95, 0.28)),
}

FEH_RANGE = (-3.0, 0.2)
"""Limits of [Fe/H] in dex."""

SHAPE_SCATTER = 0.06
"""Scatter in dex between the true [Fe/H] and the one that the light curve shows."""


class Pulsation(NamedTuple):
    """Period in days and amplitude A_1 in mag, each (n_stars,) float64."""

    period: NDArray[np.float64]
    amplitude: NDArray[np.float64]


class Modulation(NamedTuple):
    """Blazhko effect: A_1 (1 + depth cos x), phase + shift sin x, x = 2 pi (time / period + phase).

    Attributes
    ----------
    period : (n_stars,) float64, in days
    phase : (n_stars,) float64, in cycles
    depth : (n_stars,) float64, fraction of the amplitude; 0 for a star without modulation
    shift : (n_stars,) float64, in cycles of the pulsation; 0 for a star without modulation
    """

    period: NDArray[np.float64]
    phase: NDArray[np.float64]
    depth: NDArray[np.float64]
    shift: NDArray[np.float64]


def draw_feh(component: str, n: int, rng: Generator) -> NDArray[np.float64]:
    """Draw metallicities of stars of a component of the Galaxy.

    Parameters
    ----------
    component : str
        halo, bulge, lmc, smc or sgr.
    n : int
        Number of stars.
    rng : numpy.random.Generator

    Returns
    -------
    (n,) float64
        [Fe/H] in dex, within `FEH_RANGE`.
    """
    share, mean, deviation = np.array(_FEH_MIXTURE[component]).T
    which = rng.choice(len(share), n, p=share)
    return np.clip(mean[which] + deviation[which] * rng.standard_normal(n), *FEH_RANGE)


def draw_classes(n: int, rng: Generator) -> NDArray[np.str_]:
    """Deal out pulsation classes in the ratio of `CLASSES`, in random order.

    Parameters
    ----------
    n : int
        Number of stars.
    rng : numpy.random.Generator

    Returns
    -------
    (n,) str
        Keys of `CLASSES`; each class has its share of n to within one star.
    """
    edges = np.cumsum(list(CLASSES.values())) / sum(CLASSES.values())
    rank = (rng.permutation(n) + 0.5) / n
    return np.array(list(CLASSES))[np.searchsorted(edges, rank)]


def absolute_magnitude(feh: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the mean absolute G magnitude.

    Parameters
    ----------
    feh : (n_stars,) float64
        In dex.

    Returns
    -------
    (n_stars,) float64
        In mag.

    References
    ----------
    Muraveva et al. 2018, MNRAS 481, 1195.
    """
    return 0.32 * feh + 1.11


OOSTERHOFF_SHIFT = 0.063
"""Shift of Oosterhoff II RRab in log10 of the period at a given amplitude and metallicity."""


def oosterhoff_locus(
    feh: NDArray[np.float64], amplitude: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute log10 of the period of Oosterhoff I RRab.

    Parameters
    ----------
    feh : (n_stars,) float64
        In dex.
    amplitude : (n_stars,) float64
        A_1, in mag.

    Returns
    -------
    (n_stars,) float64
        log10 of the period in days.
    """
    f = feh + 1.5
    return -0.260 - 0.052 * f - 0.034 * f**2 - 0.624 * (amplitude - 0.26)


def _reflect(value: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Fold values back at two limits, which leaves no pile of stars on the limits."""
    return high - np.abs(high - (low + np.abs(value - low)))


def draw_rrab(feh: NDArray[np.float64], rng: Generator) -> Pulsation:
    """Draw RRab on the two Oosterhoff loci of the period-amplitude diagram.

    The loci, the share of Oosterhoff II against [Fe/H] and the scatter are a two-component fit to
    the 1,965 labelled stars of Dekany & Grebel 2022.

    Parameters
    ----------
    feh : (n_stars,) float64
        In dex.
    rng : numpy.random.Generator

    Returns
    -------
    Pulsation

    References
    ----------
    Cacciari, Corwin & Carney 2005, AJ 129, 267; Fabrizio et al. 2019, ApJ 882, 169.
    """
    amplitude = 0.08 + 0.34 * rng.beta(2.7, 2.2, len(feh))
    second = rng.random(len(feh)) < 1.0 / (1.0 + np.exp(3.0 + 6.35 * (feh + 1.5)))
    log_period = oosterhoff_locus(feh, amplitude) + OOSTERHOFF_SHIFT * second
    log_period += 0.025 * rng.standard_normal(len(feh))
    return Pulsation(_reflect(10.0**log_period, 0.36, 0.98), amplitude)


def draw_rrc(feh: NDArray[np.float64], rng: Generator) -> Pulsation:
    """Draw RRc: shorter periods at higher metallicity, amplitudes independent of period.

    Parameters
    ----------
    feh : (n_stars,) float64
        In dex.
    rng : numpy.random.Generator

    Returns
    -------
    Pulsation
    """
    log_period = np.log10(0.320) - 0.115 * (feh + 1.6) + 0.031 * rng.standard_normal(len(feh))
    amplitude = np.clip(0.187 + 0.030 * rng.standard_normal(len(feh)), 0.08, 0.27)
    return Pulsation(_reflect(10.0**log_period, 0.20, 0.46), amplitude)


def draw_rrd(feh: NDArray[np.float64], rng: Generator) -> tuple[Pulsation, Pulsation]:
    """Draw RRd: the dominant first overtone, and the fundamental mode on the Petersen sequence.

    Parameters
    ----------
    feh : (n_stars,) float64
        In dex.
    rng : numpy.random.Generator

    Returns
    -------
    overtone, fundamental : Pulsation

    References
    ----------
    Soszynski et al. 2014, AcA 64, 177.
    """
    n = len(feh)
    period = np.clip(0.365 - 0.03 * (feh + 1.7) + 0.015 * rng.standard_normal(n), 0.33, 0.43)
    ratio = 0.7445 + 0.05 * (period - 0.365) + 0.0006 * rng.standard_normal(n)
    amplitude = np.clip(0.170 + 0.020 * rng.standard_normal(n), 0.10, 0.24)
    return (
        Pulsation(period, amplitude),
        Pulsation(period / ratio, amplitude * rng.uniform(0.3, 0.9, n)),
    )


BLAZHKO_FRACTION = {"RRab": 0.35, "RRc": 0.07, "RRd": 0.0}
"""Share of modulated stars of each class.

Prudil & Skarka 2017, MNRAS 466, 2602 (RRab, 40 % of the well-observed); Netzel et al. 2018,
MNRAS 480, 1229 (RRc, 6 %).
"""


def draw_modulation(classes: NDArray[np.str_], rng: Generator) -> Modulation:
    """Draw the Blazhko effect of stars.

    Parameters
    ----------
    classes : (n_stars,) str
        Keys of `CLASSES`.
    rng : numpy.random.Generator

    Returns
    -------
    Modulation
    """
    n = len(classes)
    fraction = np.array([BLAZHKO_FRACTION[name] for name in CLASSES])
    which = (classes[:, None] == np.array(list(CLASSES))).argmax(axis=1)
    modulated = rng.random(n) < fraction[which]
    period = np.clip(50.0 * 10.0 ** (0.30 * rng.standard_normal(n)), 6.0, 1500.0)
    depth = np.minimum(0.03 + rng.exponential(0.09, n), 0.45)
    shift = np.minimum(rng.exponential(0.012, n), 0.06)
    return Modulation(period, rng.random(n), depth * modulated, shift * modulated)
