"""Gaia's scanning law: where the spin axis points.

The spin axis keeps 45 deg from the Sun and precesses about it so that its own speed on the sky is
constant; for the first month it stays on the ecliptic instead, which makes every scan pass over the
poles of the ecliptic. The free constants (phase and speed of the precession, end of that month)
were fitted to the transit times of 3,463 RR Lyrae stars of Gaia DR3: after day 1735, 93-98 % of
their transits lie within 0.5 deg of the great circle that this law scans at that moment.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

START, END = 1666.6, 2704.4
"""First and last day of the DR3 observations, BJD(TCB) - 2455197.5."""

SPIN_PERIOD = 360.243 / 1440.0
"""Period of the spin in days: 106.57 + 253.67 min, the two intervals between the fields of view."""

_OBLIQUITY = np.radians(23.4392911)
_SOLAR_ASPECT = np.radians(45.0)
_PRECESSION_SPEED = 4.22067
_POLE_SCANNING_END = 1695.2
_REFERENCE_DAY, _REFERENCE_PHASE = 1735.0, np.radians(169.878)


def solar_longitude(time: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ecliptic longitude of the Sun in radians, to about 0.01 deg.

    Parameters
    ----------
    time : (n,) float64
        BJD - 2455197.5, in days.

    References
    ----------
    The Astronomical Almanac, low-precision formula for the Sun.
    """
    day = time + 3652.5
    anomaly = np.radians(357.528 + 0.9856003 * day)
    mean = 280.46 + 0.9856474 * day
    return np.radians(mean + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2.0 * anomaly))


@cache
def spin_axis() -> NDArray[np.float64]:
    """Return the direction of the spin axis at the start of each spin, in ecliptic coordinates.

    Returns
    -------
    (n_spins + 2, 3) float64
        Unit vectors; the last two rows lie beyond `END`, for interpolation.

    References
    ----------
    Gaia Collaboration (Prusti et al.) 2016, A&A 595, A1, section 5.2 (scanning law).
    """
    n_spins = int((END - START) / SPIN_PERIOD)
    time = START + SPIN_PERIOD * np.arange(n_spins + 2, dtype=np.float64)
    sun = solar_longitude(time)
    phase = np.where(time < _POLE_SCANNING_END, np.pi, _precession_phase(time, sun))
    along, across = np.cos(_SOLAR_ASPECT), np.sin(_SOLAR_ASPECT)
    return np.column_stack(
        [
            along * np.cos(sun) - across * np.cos(phase) * np.sin(sun),
            along * np.sin(sun) + across * np.cos(phase) * np.cos(sun),
            across * np.sin(phase),
        ]
    )


def _precession_phase(time: NDArray[np.float64], sun: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angle of the axis about the Sun that keeps the axis' own speed on the sky constant."""

    def rate(phase: float) -> float:
        speed = np.sqrt(_PRECESSION_SPEED**2 - np.cos(phase) ** 2)
        return float((speed + np.cos(_SOLAR_ASPECT) * np.sin(phase)) / np.sin(_SOLAR_ASPECT))

    reference = int(np.searchsorted(time, _REFERENCE_DAY))
    phase = np.empty_like(time)
    step = solar_longitude(np.array([_REFERENCE_DAY])) - sun[reference]
    phase[reference] = _REFERENCE_PHASE - rate(_REFERENCE_PHASE) * float(step[0])
    for indices in (range(reference, len(time) - 1), range(reference, 0, -1)):
        direction = indices.step
        for i in indices:
            step_i = float(sun[i + direction] - sun[i])
            midpoint = float(phase[i]) + 0.5 * step_i * rate(float(phase[i]))
            phase[i + direction] = phase[i] + step_i * rate(midpoint)
    return phase


def ecliptic_direction(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert ICRS positions to unit vectors in ecliptic coordinates.

    Parameters
    ----------
    ra, dec : (n,) float64
        In degrees.

    Returns
    -------
    (n, 3) float64
    """
    ra, dec = np.radians(ra), np.radians(dec)
    x, y, z = np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)
    cosine, sine = np.cos(_OBLIQUITY), np.sin(_OBLIQUITY)
    return np.column_stack([x, y * cosine + z * sine, z * cosine - y * sine])
