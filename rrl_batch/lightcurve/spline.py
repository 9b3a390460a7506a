"""Cubic smoothing splines of many light curves at once, the smoothing chosen by cross-validation.

A curve f minimises ``sum w (y - f)^2 + lam * integral f''^2``. Reinsch (1967) solves it for the
second derivatives g of f at the knots, ``(R + lam Q'W^-1Q) g = Q'y``; the matrix is pentadiagonal.
The periodic spline adds the two end knots as unknowns that couple around the cycle. They are
eliminated last, so that its factor is the natural spline's with two more rows: both boundary
conditions share one O(n) factorisation. The trace that generalised cross-validation (GCV) needs
follows exactly from those elements of the inverse that lie on the factor's pattern (Hutchinson &
de Hoog 1985).

References
----------
Reinsch C. H. 1967, Numer. Math. 10, 177. Craven P. & Wahba G. 1979, Numer. Math. 31, 377.
Hutchinson M. F. & de Hoog F. R. 1985, Numer. Math. 47, 99. Brent R. P. 1973, Algorithms for
Minimization without Derivatives, ch. 5. Green P. J. & Silverman B. W. 1994, Nonparametric
Regression and Generalized Linear Models, ch. 2-3.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from rrl_batch.lightcurve.flat import kernel_arrays

FloatArray = npt.NDArray[np.float64]

MIN_KNOTS = 5
# Of knots closer than this (in cycles) rounding would move the curve by more than 1e-5 mag.
MERGE_WITHIN = 1e-6
# The penalty halves harmonic k of an evenly sampled curve at lam = n_epochs / (2 pi k)^4.
HIGHEST_HARMONIC = 10.0  # smallest leave-one-epoch-out error on real stars
SCAN_STEPS = 32  # none of 3,463 real stars then misses its lowest minimum; 24 miss one, 16 four
MAX_EVALUATIONS = 500  # as scipy
STARS_A_CHUNK = 64

# The scan takes all its lambdas through the recurrences side by side, a lane each, in vector
# instructions: one lambda alone waits for each division before the next. Its numbers are rows of
# lanes in flat arrays, from offsets that the compiler knows, so that it sees that no two overlap.
LANES = SCAN_STEPS + 1
# Of a knot: 1/D, the column of L times D, and the curvature, in whose place y is at first.
_INVERSE, _NEXT, _NEXT_BUT_ONE, _LAST, _FIRST, _CURVATURE = (LANES * row for row in range(6))
_KNOT_ROWS = 6 * LANES
# Of a star: the names are those in `_eliminate` and `_substitute`.
_LAM, _AA, _AB, _BB, _YA, _YB, _TRACE_GRAM, _TRACE_ROUGHNESS, _SQUARES = (
    LANES * row for row in range(9)
)
_G1, _G2, _B11, _B12, _B22, _A1, _A2, _B1, _B2 = (LANES * row for row in range(9, 18))
_STAR_ROWS = 18 * LANES

_GOLDEN = 0.5 * (3.0 - math.sqrt(5.0))
_SQRT_EPSILON = math.sqrt(2.2e-16)


class SmoothedCurves(NamedTuple):
    """Smoothed light curves, one row a star.

    Attributes
    ----------
    phase : (n_stars, n_points) float64, in cycles
        Where each curve is evaluated; NaN where smoothing failed.
    mag : (n_stars, n_points) float64, in mag
        The curve; NaN where smoothing failed.
    smoothing : (n_stars,) float64
        The chosen lambda, in the unit of scipy's ``lam`` (cycles^3); NaN where smoothing failed.
    gcv : (n_stars,) float64, in mag^2
        The cross-validation criterion at it; NaN where smoothing failed.
    """

    phase: FloatArray
    mag: FloatArray
    smoothing: FloatArray
    gcv: FloatArray


def smooth(
    phase: npt.ArrayLike,
    mag: npt.ArrayLike,
    offsets: npt.ArrayLike,
    n_points: int,
    method: Literal["robust", "scipy"] = "robust",
) -> SmoothedCurves:
    """Smooth folded light curves by cubic splines whose smoothing GCV chooses star by star.

    ``robust`` fits a periodic curve and takes the smallest GCV over log(lambda) between a floor
    and a ceiling; it is evaluated at the phases ``k / n_points``. ``scipy`` gives the answer of
    `scipy.interpolate.make_smoothing_spline` (a natural spline, lambda from a bounded search on
    ``[0, n_epochs]``) at ``n_points`` even phases from the star's first epoch to its last.

    Epochs at one phase (within 1e-6 cycle) count as repeated measurements of one knot: it weighs
    as many as they are, and their scatter enters the criterion, which makes the fit the limit of
    the one to distinct phases.

    Parameters
    ----------
    phase : (n_epochs,) float64, in cycles, [0, 1)
        Phases of all stars, star after star, in any order within a star.
    mag : (n_epochs,) float, in mag
        Magnitudes, finite.
    offsets : (n_stars + 1,) int64
        Star i owns the epochs ``offsets[i]`` to ``offsets[i + 1]``, the end excluded.
    n_points : int
        Number of points of each smoothed curve, at least 2.
    method : {"robust", "scipy"}
        Which of the two fits.

    Returns
    -------
    SmoothedCurves
        A star of fewer than 5 distinct phases, or whose fit is not finite, gets NaN.

    Raises
    ------
    ValueError
        If the arrays do not fit together or the method is unknown.
    """
    phase, mag, offsets = kernel_arrays(phase, mag, offsets)
    lengths = np.diff(offsets)
    if n_points < 2:
        raise ValueError(f"n_points must be at least 2, got {n_points}")
    if method not in ("robust", "scipy"):
        raise ValueError(f'method must be "robust" or "scipy", got {method!r}')
    curves = SmoothedCurves(
        np.empty((len(lengths), n_points)),
        np.empty((len(lengths), n_points)),
        np.empty(len(lengths)),
        np.empty(len(lengths)),
    )
    _smooth_all(phase, mag, offsets, int(lengths.max(initial=0)), method == "robust", curves)
    return curves


class _Workspace(NamedTuple):
    """The arrays of one thread; a row is a knot, the two matrices are stored by symmetric bands.

    The columns of a band matrix: diagonal, next knot, next but one, last knot, first knot.
    """

    phase: FloatArray  # ascending; beyond 1 where a periodic curve comes round
    mag: FloatArray
    variance: FloatArray  # W^-1, one over the epochs merged into the knot
    inverse_spacing: FloatArray  # of this knot and the next
    gram: FloatArray  # R
    roughness: FloatArray  # Q'W^-1Q
    divided: FloatArray  # Q'y
    factor: FloatArray  # columns of L, with 1/D on the diagonal
    curvature: FloatArray  # f''
    fitted: FloatArray  # f


class _Lanes(NamedTuple):
    """The arrays of one thread for the scan; apart, as copying their headers costs the others."""

    knots: FloatArray  # knot i comes as number i + 1, between its neighbours in the cycle
    star: FloatArray


class _Star(NamedTuple):
    """What a fit needs to know of its star besides the arrays."""

    n_knots: int
    n_epochs: int
    scatter: float  # sum of squares within the knots
    periodic: bool


@njit(cache=True, error_model="numpy")
def _allocate(size: int) -> _Workspace:
    return _Workspace(
        np.empty(size),
        np.empty(size),
        np.empty(size),
        np.empty(size),
        np.empty((size, 5)),
        np.empty((size, 5)),
        np.empty(size),
        np.empty((size, 5)),
        np.empty(size + 1),  # and the first knot again
        np.empty(size + 1),
    )


@njit(cache=True, error_model="numpy")
def _place_knots(phase: FloatArray, mag: FloatArray, periodic: bool, work: _Workspace) -> _Star:
    """Sort the epochs of a star and merge near-duplicates into knots."""
    n_epochs = phase.size
    order = np.argsort(phase)
    start = 0
    if periodic:
        # Beginning behind the widest gap cuts no group of near-duplicates in two.
        widest = phase[order[0]] + 1.0 - phase[order[-1]]
        for i in range(1, n_epochs):
            gap = phase[order[i]] - phase[order[i - 1]]
            if gap > widest:
                widest = gap
                start = i
    scatter = 0.0
    previous = -math.inf
    n = 0
    for i in range(start, start + n_epochs):
        epoch = order[i % n_epochs]
        x = phase[epoch] + i // n_epochs
        if x - previous > MERGE_WITHIN:
            work.phase[n] = x
            work.mag[n] = mag[epoch]
            work.variance[n] = 1.0
            n += 1
        else:
            knot = n - 1
            share = work.variance[knot] / (1.0 + work.variance[knot])
            step = mag[epoch] - work.mag[knot]
            scatter += step * step * (1.0 - share)
            work.mag[knot] += step * share
            work.phase[knot] += (x - work.phase[knot]) * share
            work.variance[knot] = share
        previous = x
    return _Star(n, n_epochs, scatter, periodic)


@njit(cache=True, error_model="numpy")
def _assemble(star: _Star, work: _Workspace) -> None:
    """Fill the matrices and the right-hand side (Green & Silverman 1994, section 2.1)."""
    n, periodic = star.n_knots, star.periodic
    x, y, v = work.phase, work.mag, work.variance
    for i in range(n - 1):
        work.inverse_spacing[i] = 1.0 / (x[i + 1] - x[i])
    # The natural spline is the periodic one whose last knot is infinitely far from its first.
    work.inverse_spacing[n - 1] = 1.0 / (x[0] + 1.0 - x[n - 1]) if periodic else 0.0
    for i in range(n):
        before = i - 1 if i > 0 else n - 1
        after = i + 1 if i < n - 1 else 0
        left = work.inverse_spacing[before]
        right = work.inverse_spacing[i]
        further = work.inverse_spacing[after]
        work.gram[i] = 0.0
        work.gram[i, 0] = (1.0 / left + 1.0 / right) / 3.0
        work.gram[i, 1] = 1.0 / right / 6.0
        work.roughness[i] = 0.0
        work.roughness[i, 0] = (
            left * left * v[before] + (left + right) ** 2 * v[i] + right * right * v[after]
        )
        work.roughness[i, 1] = -right * ((left + right) * v[i] + (right + further) * v[after])
        work.roughness[i, 2] = right * further * v[after]
        work.divided[i] = (y[after] - y[i]) * right - (y[i] - y[before]) * left
    _border(work.gram, n, periodic)
    _border(work.roughness, n, periodic)


@njit(cache=True, error_model="numpy")
def _border(band: FloatArray, n: int, periodic: bool) -> None:
    """Move what couples to the last and the first knot into their columns."""
    last, first = 3, 4
    if periodic:
        band[1, last] = band[n - 1, 2]
        band[n - 3, last] = band[n - 3, 2]
        band[n - 2, last] = band[n - 2, 1]
        band[1, first] = band[0, 1]
        band[2, first] = band[0, 2]
        band[n - 2, first] = band[n - 2, 2]
    band[n - 3, 2] = 0.0
    band[n - 2, 1] = 0.0
    band[n - 2, 2] = 0.0


@njit(cache=True, error_model="numpy")
def _eliminate(
    lam: float, n: int, work: _Workspace, aa: float, ab: float, bb: float, ya: float, yb: float
) -> tuple[float, float, float, float, float]:
    """Factorise the rows of the inner knots; return what is left of those of the end knots.

    Here and in `_substitute`, ``a`` is the last knot and ``b`` the first; digits count the knots
    back from the present one (onwards in `_substitute`); ``m`` is a column of L before its
    division by D.
    """
    gram, roughness, factor = work.gram, work.roughness, work.factor
    m1 = m2 = l1 = l2 = m2_old = l2_old = 0.0
    ma1 = ma2 = mb1 = mb2 = y1 = y2 = 0.0
    for i in range(1, n - 1):
        d = gram[i, 0] + lam * roughness[i, 0] - l2_old * m2_old - l1 * m1
        ma = gram[i, 3] + lam * roughness[i, 3] - l2_old * ma2 - l1 * ma1
        mb = gram[i, 4] + lam * roughness[i, 4] - l2_old * mb2 - l1 * mb1
        y = work.divided[i] - l2_old * y2 - l1 * y1
        m1 = gram[i, 1] + lam * roughness[i, 1] - l2 * m1
        m2_old, m2 = m2, lam * roughness[i, 2]
        inverse = 1.0 / d
        l1 = m1 * inverse
        l2_old, l2 = l2, m2 * inverse
        la = ma * inverse
        lb = mb * inverse
        aa -= la * ma
        ab -= la * mb
        bb -= lb * mb
        ya -= la * y
        yb -= lb * y
        factor[i, 0] = inverse
        factor[i, 1] = l1
        factor[i, 2] = l2
        factor[i, 3] = la
        factor[i, 4] = lb
        work.curvature[i] = y
        y2, y1 = y1, y
        ma2, ma1 = ma1, ma
        mb2, mb1 = mb1, mb
    return aa, ab, bb, ya, yb


@njit(cache=True, error_model="numpy")
def _substitute(
    n: int, work: _Workspace, aa: float, ab: float, bb: float, ga: float, gb: float
) -> tuple[float, float]:
    """Solve for the curvatures; return the inner knots' part of tr(B R) and of tr(B Q'W^-1Q).

    B is the inverse of the system's matrix; ``aa``, ``ab`` and ``bb`` are its elements and ``ga``
    and ``gb`` the curvatures at the end knots.
    """
    gram, roughness, factor, g = work.gram, work.roughness, work.factor, work.curvature
    trace_gram = trace_roughness = 0.0
    g1 = g2 = b11 = b12 = b22 = a1 = a2 = b1 = b2 = 0.0
    for i in range(n - 2, 0, -1):
        inverse, l1, l2 = factor[i, 0], factor[i, 1], factor[i, 2]
        la, lb = factor[i, 3], factor[i, 4]
        g[i] = g[i] * inverse - la * ga - lb * gb - l2 * g2 - l1 * g1
        g2, g1 = g1, g[i]
        b01 = -la * a1 - lb * b1 - l2 * b12 - l1 * b11
        b02 = -la * a2 - lb * b2 - l2 * b22 - l1 * b12
        a0 = -la * aa - lb * ab - l2 * a2 - l1 * a1
        b0 = -la * ab - lb * bb - l2 * b2 - l1 * b1
        b00 = inverse - la * a0 - lb * b0 - l2 * b02 - l1 * b01
        trace_gram += b00 * gram[i, 0] + 2.0 * (
            b01 * gram[i, 1] + a0 * gram[i, 3] + b0 * gram[i, 4]
        )
        trace_roughness += b00 * roughness[i, 0] + 2.0 * (
            b01 * roughness[i, 1]
            + b02 * roughness[i, 2]
            + a0 * roughness[i, 3]
            + b0 * roughness[i, 4]
        )
        b22, b12, b11 = b11, b01, b00
        a2, a1 = a1, a0
        b2, b1 = b1, b0
    return trace_gram, trace_roughness


@njit(cache=True, error_model="numpy")
def _gcv(lam: float, star: _Star, work: _Workspace) -> float:
    """Fit the curve at one lambda; return the GCV criterion (Craven & Wahba 1979, eq. 1.9)."""
    gram, roughness, g = work.gram, work.roughness, work.curvature
    n, n_epochs = star.n_knots, star.n_epochs
    a, b = n - 1, 0
    if star.periodic:
        aa, ab, bb, ya, yb = _eliminate(
            lam,
            n,
            work,
            gram[a, 0] + lam * roughness[a, 0],
            gram[a, 1] + lam * roughness[a, 1],
            gram[b, 0] + lam * roughness[b, 0],
            work.divided[a],
            work.divided[b],
        )
        scale = ab / aa
        bb = 1.0 / (bb - ab * scale)
        ab = -scale * bb
        g[b] = (yb - scale * ya) * bb
        g[a] = ya / aa - scale * g[b]
        aa = 1.0 / aa - scale * ab
        trace_gram, trace_roughness = _substitute(n, work, aa, ab, bb, g[a], g[b])
        trace_gram += aa * gram[a, 0] + bb * gram[b, 0] + 2.0 * ab * gram[a, 1]
        trace_roughness += aa * roughness[a, 0] + bb * roughness[b, 0] + 2.0 * ab * roughness[a, 1]
        unknowns = n
    else:
        g[a] = g[b] = 0.0
        _eliminate(lam, n, work, 1.0, 0.0, 1.0, 0.0, 0.0)
        trace_gram, trace_roughness = _substitute(n, work, 0.0, 0.0, 0.0, 0.0, 0.0)
        unknowns = n - 2
    g[n] = g[b]

    # The traces of B R and of lam B Q'W^-1Q sum to the unknowns: use the smaller, which is exact.
    freedom = lam * trace_roughness if trace_gram > 0.5 * unknowns else unknowns - trace_gram
    freedom += n_epochs - n
    squares = star.scatter
    before = (g[n] - g[n - 1]) * work.inverse_spacing[n - 1]
    for i in range(n):
        after = (g[i + 1] - g[i]) * work.inverse_spacing[i]
        jump = lam * (after - before)
        residual = jump * work.variance[i]
        squares += jump * residual
        work.fitted[i] = work.mag[i] - residual
        before = after
    return n_epochs * squares / (freedom * freedom)


@njit(cache=True, error_model="numpy")
def _eliminate_lanes(n: int, work: _Workspace, lanes: _Lanes) -> None:
    """Do what `_eliminate` does, for all lanes of a periodic curve."""
    gram, roughness, ends = work.gram, work.roughness, lanes.star
    lanes.knots[: 2 * _KNOT_ROWS] = 0.0  # nothing is before the first inner knot
    a, b = n - 1, 0
    for lane in range(LANES):
        lam = ends[_LAM + lane]
        ends[_AA + lane] = gram[a, 0] + lam * roughness[a, 0]
        ends[_AB + lane] = gram[a, 1] + lam * roughness[a, 1]
        ends[_BB + lane] = gram[b, 0] + lam * roughness[b, 0]
        ends[_YA + lane] = work.divided[a]
        ends[_YB + lane] = work.divided[b]
    two, one, own = 0, _KNOT_ROWS, 2 * _KNOT_ROWS  # knots back
    for i in range(1, n - 1):
        rows = lanes.knots[(i - 1) * _KNOT_ROWS : (i + 2) * _KNOT_ROWS]
        r0, r1, ra, rb = gram[i, 0], gram[i, 1], gram[i, 3], gram[i, 4]
        q0, q1, q2 = roughness[i, 0], roughness[i, 1], roughness[i, 2]
        qa, qb = roughness[i, 3], roughness[i, 4]
        divided = work.divided[i]
        for lane in range(LANES):
            lam = ends[_LAM + lane]
            l1 = rows[one + _NEXT + lane] * rows[one + _INVERSE + lane]
            l2 = rows[two + _NEXT_BUT_ONE + lane] * rows[two + _INVERSE + lane]
            m1, m2 = rows[one + _NEXT + lane], rows[two + _NEXT_BUT_ONE + lane]
            ma1, ma2 = rows[one + _LAST + lane], rows[two + _LAST + lane]
            mb1, mb2 = rows[one + _FIRST + lane], rows[two + _FIRST + lane]
            y1, y2 = rows[one + _CURVATURE + lane], rows[two + _CURVATURE + lane]
            d = r0 + lam * q0 - l2 * m2 - l1 * m1
            ma = ra + lam * qa - l2 * ma2 - l1 * ma1
            mb = rb + lam * qb - l2 * mb2 - l1 * mb1
            y = divided - l2 * y2 - l1 * y1
            crossed = rows[one + _NEXT_BUT_ONE + lane] * rows[one + _INVERSE + lane] * m1
            inverse = 1.0 / d
            la, lb = ma * inverse, mb * inverse
            ends[_AA + lane] -= la * ma
            ends[_AB + lane] -= la * mb
            ends[_BB + lane] -= lb * mb
            ends[_YA + lane] -= la * y
            ends[_YB + lane] -= lb * y
            rows[own + _INVERSE + lane] = inverse
            rows[own + _NEXT + lane] = r1 + lam * q1 - crossed
            rows[own + _NEXT_BUT_ONE + lane] = lam * q2
            rows[own + _LAST + lane] = ma
            rows[own + _FIRST + lane] = mb
            rows[own + _CURVATURE + lane] = y


@njit(cache=True, error_model="numpy")
def _substitute_lanes(n: int, work: _Workspace, lanes: _Lanes) -> None:
    """Do what `_gcv` does between the two sweeps, and `_substitute`, for all lanes."""
    gram, roughness, knots, ends = work.gram, work.roughness, lanes.knots, lanes.star
    a, b = n - 1, 0
    before, first = knots[:_KNOT_ROWS], knots[_KNOT_ROWS : 2 * _KNOT_ROWS]
    last = knots[n * _KNOT_ROWS : (n + 1) * _KNOT_ROWS]
    after = knots[(n + 1) * _KNOT_ROWS : (n + 2) * _KNOT_ROWS]
    for lane in range(LANES):
        scale = ends[_AB + lane] / ends[_AA + lane]
        bb = 1.0 / (ends[_BB + lane] - ends[_AB + lane] * scale)
        ab = -scale * bb
        gb = (ends[_YB + lane] - scale * ends[_YA + lane]) * bb
        ga = ends[_YA + lane] / ends[_AA + lane] - scale * gb
        aa = 1.0 / ends[_AA + lane] - scale * ab
        first[_CURVATURE + lane] = after[_CURVATURE + lane] = gb
        last[_CURVATURE + lane] = before[_CURVATURE + lane] = ga
        ends[_AA + lane], ends[_AB + lane], ends[_BB + lane] = aa, ab, bb
        ends[_YA + lane], ends[_YB + lane] = ga, gb
        ends[_TRACE_GRAM + lane] = aa * gram[a, 0] + bb * gram[b, 0] + 2.0 * ab * gram[a, 1]
        ends[_TRACE_ROUGHNESS + lane] = (
            aa * roughness[a, 0] + bb * roughness[b, 0] + 2.0 * ab * roughness[a, 1]
        )
    ends[_G1:] = 0.0
    for i in range(n - 2, 0, -1):
        rows = knots[(i + 1) * _KNOT_ROWS : (i + 2) * _KNOT_ROWS]
        r0, r1, ra, rb = gram[i, 0], gram[i, 1], gram[i, 3], gram[i, 4]
        q0, q1, q2 = roughness[i, 0], roughness[i, 1], roughness[i, 2]
        qa, qb = roughness[i, 3], roughness[i, 4]
        for lane in range(LANES):
            inverse = rows[_INVERSE + lane]
            l1, l2 = rows[_NEXT + lane] * inverse, rows[_NEXT_BUT_ONE + lane] * inverse
            la, lb = rows[_LAST + lane] * inverse, rows[_FIRST + lane] * inverse
            aa, ab, bb = ends[_AA + lane], ends[_AB + lane], ends[_BB + lane]
            b11, b12, b22 = ends[_B11 + lane], ends[_B12 + lane], ends[_B22 + lane]
            a1, a2 = ends[_A1 + lane], ends[_A2 + lane]
            b1, b2 = ends[_B1 + lane], ends[_B2 + lane]
            g1, g2 = ends[_G1 + lane], ends[_G2 + lane]
            g = rows[_CURVATURE + lane] * inverse
            g = g - la * ends[_YA + lane] - lb * ends[_YB + lane] - l2 * g2 - l1 * g1
            b01 = -la * a1 - lb * b1 - l2 * b12 - l1 * b11
            b02 = -la * a2 - lb * b2 - l2 * b22 - l1 * b12
            a0 = -la * aa - lb * ab - l2 * a2 - l1 * a1
            b0 = -la * ab - lb * bb - l2 * b2 - l1 * b1
            b00 = inverse - la * a0 - lb * b0 - l2 * b02 - l1 * b01
            ends[_TRACE_GRAM + lane] += b00 * r0 + 2.0 * (b01 * r1 + a0 * ra + b0 * rb)
            ends[_TRACE_ROUGHNESS + lane] += b00 * q0 + 2.0 * (
                b01 * q1 + b02 * q2 + a0 * qa + b0 * qb
            )
            rows[_CURVATURE + lane] = g
            ends[_G1 + lane], ends[_G2 + lane] = g, g1
            ends[_B11 + lane], ends[_B12 + lane], ends[_B22 + lane] = b00, b01, b11
            ends[_A1 + lane], ends[_A2 + lane] = a0, a1
            ends[_B1 + lane], ends[_B2 + lane] = b0, b1


@njit(cache=True, error_model="numpy")
def _scan(floor: float, step: float, star: _Star, work: _Workspace, lanes: _Lanes) -> int:
    """Return at which step the GCV is least; it is what `_gcv` returns for one lambda."""
    ends, n = lanes.star, star.n_knots
    for lane in range(LANES):
        ends[_LAM + lane] = math.exp(floor + lane * step)
    _eliminate_lanes(n, work, lanes)
    _substitute_lanes(n, work, lanes)
    ends[_SQUARES : _SQUARES + LANES] = star.scatter
    left = work.inverse_spacing[n - 1]
    own, after = _KNOT_ROWS + _CURVATURE, 2 * _KNOT_ROWS + _CURVATURE
    for i in range(n):
        rows = lanes.knots[i * _KNOT_ROWS : (i + 3) * _KNOT_ROWS]
        right, variance = work.inverse_spacing[i], work.variance[i]
        for lane in range(LANES):
            g = rows[own + lane]
            slope = (rows[after + lane] - g) * right - (g - rows[_CURVATURE + lane]) * left
            jump = ends[_LAM + lane] * slope
            ends[_SQUARES + lane] += jump * jump * variance
        left = right
    lowest = math.inf
    at = 0
    for lane in range(LANES):
        trace = ends[_TRACE_GRAM + lane]
        freedom = (
            ends[_LAM + lane] * ends[_TRACE_ROUGHNESS + lane] if trace > 0.5 * n else n - trace
        )
        freedom += star.n_epochs - n
        gcv = ends[_SQUARES + lane] / (freedom * freedom)
        if gcv < lowest:
            lowest = gcv
            at = lane
    return at


@njit(cache=True, error_model="numpy")
def _next_step(
    low: float,
    high: float,
    tolerance: float,
    points: tuple[float, float, float],
    values: tuple[float, float, float],
    steps: tuple[float, float],
) -> tuple[float, float]:
    """Return Brent's next step from the best point, and the one that bounds the step after it.

    The vertex of the parabola through the three best points, if it lies within the bounds and is
    nearer than half of the step before the last; otherwise the golden section of the wider side.
    """
    best, second, third = points
    f_best, f_second, f_third = values
    before_last, last = steps
    middle = 0.5 * (low + high)
    if abs(before_last) > tolerance:
        r = (best - second) * (f_best - f_third)
        q = (best - third) * (f_best - f_second)
        p = (best - third) * q - (best - second) * r
        q = 2.0 * (q - r)
        if q > 0.0:
            p = -p
        q = abs(q)
        if abs(p) < abs(0.5 * q * before_last) and q * (low - best) < p < q * (high - best):
            step = p / q
            if min(best + step - low, high - best - step) < 2.0 * tolerance:
                step = tolerance if middle >= best else -tolerance
            return step, last
    wider = low - best if best >= middle else high - best
    return _GOLDEN * wider, wider


@njit(cache=True, error_model="numpy")
def _minimise(
    low: float, high: float, precision: float, logarithmic: bool, star: _Star, work: _Workspace
) -> float:
    """Return the lambda of least GCV between bounds, on lambda or its logarithm (Brent 1973).

    The tolerances are those of `scipy.optimize.minimize_scalar` with ``method="bounded"``.
    """
    best = second = third = low + _GOLDEN * (high - low)
    f_best = f_second = f_third = _gcv(math.exp(best) if logarithmic else best, star, work)
    before_last = last = 0.0
    for _ in range(MAX_EVALUATIONS):
        tolerance = _SQRT_EPSILON * abs(best) + precision / 3.0
        if abs(best - 0.5 * (low + high)) <= 2.0 * tolerance - 0.5 * (high - low):
            break
        last, before_last = _next_step(
            low,
            high,
            tolerance,
            (best, second, third),
            (f_best, f_second, f_third),
            (before_last, last),
        )
        x = best + math.copysign(max(abs(last), tolerance), last)
        f = _gcv(math.exp(x) if logarithmic else x, star, work)
        outer, inner = (x, best) if f > f_best else (best, x)
        if outer < inner:
            low = outer
        else:
            high = outer
        if f <= f_best:
            third, f_third = second, f_second
            second, f_second = best, f_best
            best, f_best = x, f
        elif f <= f_second or second == best:
            third, f_third = second, f_second
            second, f_second = x, f
        elif f <= f_third or third in (best, second):
            third, f_third = x, f
    return math.exp(best) if logarithmic else best


@njit(cache=True, error_model="numpy")
def _choose_smoothing(star: _Star, work: _Workspace, lanes: _Lanes) -> float:
    """Return the lambda that minimises the criterion, by the search of each method."""
    ceiling = float(star.n_epochs)
    if not star.periodic:
        return _minimise(0.0, ceiling, 1e-5, False, star, work)
    high = math.log(ceiling)
    floor = high - 4.0 * math.log(2.0 * math.pi * HIGHEST_HARMONIC)
    step = (high - floor) / SCAN_STEPS
    at = _scan(floor, step, star, work, lanes)
    low = floor + max(at - 1, 0) * step
    return _minimise(low, floor + min(at + 1, SCAN_STEPS) * step, 1e-3, True, star, work)


@njit(cache=True, error_model="numpy")
def _evaluate(star: _Star, work: _Workspace, phase: FloatArray, mag: FloatArray) -> None:
    """Evaluate the cubics between the knots (Green & Silverman 1994, eq. 2.2)."""
    x, f, g = work.phase, work.fitted, work.curvature
    n, n_points = star.n_knots, phase.size
    f[n] = f[0]
    # Points are visited in the order of the knots, which may begin anywhere in the cycle.
    first = math.ceil(x[0] * n_points) if star.periodic else 0
    last_piece = n - 1 if star.periodic else n - 2
    i = 0
    for k in range(first, first + n_points):
        point = k % n_points
        if star.periodic:
            at = k / n_points
            phase[point] = point / n_points
        else:
            at = x[0] + k * ((x[n - 1] - x[0]) / (n_points - 1))
            phase[point] = at
        while i < last_piece and at >= x[i + 1]:
            i += 1
        rate = work.inverse_spacing[i]
        t = at - x[i]
        slope = (f[i + 1] - f[i]) * rate - (2.0 * g[i] + g[i + 1]) / (6.0 * rate)
        mag[point] = f[i] + t * (slope + t * (0.5 * g[i] + t * (g[i + 1] - g[i]) * rate / 6.0))


@njit(cache=True, error_model="numpy")
def _smooth_one(
    row: int,
    phase: FloatArray,
    mag: FloatArray,
    periodic: bool,
    work: _Workspace,
    lanes: _Lanes,
    curves: SmoothedCurves,
) -> None:
    curves.phase[row] = curves.mag[row] = curves.smoothing[row] = curves.gcv[row] = math.nan
    if phase.size < MIN_KNOTS:
        return
    star = _place_knots(phase, mag, periodic, work)
    if star.n_knots < MIN_KNOTS:
        return
    zero = mag.mean()
    work.mag[: star.n_knots] -= zero
    _assemble(star, work)
    smoothing = _choose_smoothing(star, work, lanes)
    gcv = _gcv(smoothing, star, work)
    if not math.isfinite(gcv):
        return
    _evaluate(star, work, curves.phase[row], curves.mag[row])
    curves.mag[row] += zero
    curves.smoothing[row] = smoothing
    curves.gcv[row] = gcv


@njit(cache=True, error_model="numpy", parallel=True, nogil=True)
def _smooth_all(
    phase: FloatArray,
    mag: FloatArray,
    offsets: npt.NDArray[np.int64],
    longest: int,
    periodic: bool,
    curves: SmoothedCurves,
) -> None:
    n_stars = offsets.size - 1
    for chunk in prange((n_stars + STARS_A_CHUNK - 1) // STARS_A_CHUNK):
        work = _allocate(longest)
        lanes = _Lanes(np.empty((longest + 2) * _KNOT_ROWS), np.empty(_STAR_ROWS))
        for row in range(chunk * STARS_A_CHUNK, min((chunk + 1) * STARS_A_CHUNK, n_stars)):
            low, high = offsets[row], offsets[row + 1]
            _smooth_one(row, phase[low:high], mag[low:high], periodic, work, lanes, curves)
