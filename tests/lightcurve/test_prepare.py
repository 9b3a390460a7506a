import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrl_batch.contracts import STARS, Flag
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.lightcurve.population_prior import PopulationPrior
from rrl_batch.lightcurve.prepare import prepare
from rrl_batch.sources.synthetic import simulate_stars
from rrl_batch.sources.synthetic.source import SimulatedLightCurves

N_POINTS = 32
PRIORS = {"RRab": PopulationPrior.first("RRab")}


def make_batch(curves, **columns):
    """Build a batch of light curves [(time, mag), ...] with equal errors."""
    n = len(curves)
    stars = pd.DataFrame(
        {"source_id": np.arange(1, n + 1), "best_classification": "RRab", "period": 0.55,
         "epoch_g": 0.0} | columns
    ).reindex(columns=STARS.names)  # fmt: skip
    lengths = [len(time) for time, _ in curves]
    flat = [np.concatenate([c[i] for c in curves]).astype(float) for i in (0, 1)]
    return LightCurveBatch(
        stars=stars,
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        time=flat[0],
        mag=flat[1].astype(np.float32),
        mag_error=np.full(sum(lengths), 0.01, np.float32),
        has_error=np.ones(n, bool),
        malformed=np.zeros(n, bool),
    )


def rr_lyrae(n_epochs=60, seed=0, amplitude=0.35, span=1000.0):
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(0, span, n_epochs))
    angle = 2 * np.pi * time / 0.55
    mag = 15 - amplitude * (np.cos(angle) + 0.45 * np.cos(2 * angle) + 0.3 * np.cos(3 * angle))
    return time, mag + rng.normal(0, 0.005, n_epochs)


def flags_of(prepared):
    return [Flag(int(value)) for value in prepared.table["flags"]]


@pytest.fixture(scope="module")
def simulated():
    batch = SimulatedLightCurves(4)(simulate_stars(60, 4), 0)
    return LightCurveBatch.from_arrow(batch.to_arrow())


def test_a_good_star_has_a_curve_a_shape_and_no_flag():
    prepared = prepare(make_batch([rr_lyrae()]), points=N_POINTS)
    row = prepared.table.iloc[0]
    assert flags_of(prepared) == [Flag(0)]
    assert row["num_epochs_used"] == 60
    assert row["phi31"] % (2 * np.pi) == pytest.approx(2 * np.pi, abs=0.05) or row[
        "phi31"
    ] == pytest.approx(0.0, abs=0.05)
    assert row["amplitude"] == pytest.approx(2 * 0.35 * 1.3 - 0.35 * 0.9 + 0.35 * 0.9, abs=0.15)
    assert prepared.sequences.shape == (1, N_POINTS, 2)
    # aligned: the brightest point of the curve is at phase 0
    assert np.argmin(prepared.sequences[0, :, 0]) in (0, 1, N_POINTS - 1)
    assert np.allclose(prepared.sequences[0, :, 1], np.arange(N_POINTS) / N_POINTS * 0.55)


def test_every_bad_star_keeps_its_row_and_says_why():
    good = rr_lyrae()
    one_phase = (np.arange(10) * 0.55, np.linspace(15, 15.1, 10))
    few = (good[0][:4], good[1][:4])
    empty = (np.empty(0), np.empty(0))
    batch = make_batch(
        [good, few, empty, good, good, good, one_phase],
        period=[0.55, 0.55, 0.55, np.nan, 0.0, -0.4, 0.55],
    )
    prepared = prepare(batch, points=N_POINTS)
    found = flags_of(prepared)
    assert len(prepared) == 7
    assert found[0] == Flag(0)
    for star in (1, 2):
        assert found[star] & Flag.TOO_FEW_EPOCHS
        assert not found[star] & Flag.SMOOTHING_FAILED
    for star in (3, 4, 5):
        assert found[star] & Flag.NO_PERIOD
        assert not found[star] & (Flag.SMOOTHING_FAILED | Flag.PHASE_GAP)
    assert found[6] & Flag.SMOOTHING_FAILED
    assert found[6] & Flag.PHASE_GAP
    assert np.isnan(prepared.sequences[1:, :, 0]).all()
    assert np.isfinite(prepared.sequences[0]).all()


def test_bad_epochs_are_rejected_and_flagged():
    time, mag = rr_lyrae()
    spoilt = mag.copy()
    spoilt[[3, 8]] = np.nan, np.inf
    batch = make_batch([(time, mag), (time, spoilt), (time, mag)])
    batch.mag_error[120 + 5] = -0.01
    batch.mag_error[120 + 6] = np.nan
    prepared = prepare(batch, points=N_POINTS)
    assert prepared.table["num_epochs_used"].tolist() == [60, 58, 58]
    assert [bool(f & Flag.BAD_PHOTOMETRY) for f in flags_of(prepared)] == [False, True, True]
    assert np.isfinite(prepared.sequences).all()


def test_marks_for_no_value_are_no_magnitudes_and_a_flat_curve_is_none():
    time, mag = rr_lyrae()
    marked = mag.copy()
    marked[[2, 30]] = 99.999, -999.0
    batch = make_batch([(time, marked), (time, np.full(60, 15.0)), (time, np.full(60, 1e30))])
    prepared = prepare(batch, points=N_POINTS)
    found = flags_of(prepared)
    assert prepared.table["num_epochs_used"].tolist() == [58, 60, 0]
    assert found[0] & Flag.BAD_PHOTOMETRY
    assert found[1] & Flag.SMOOTHING_FAILED
    assert found[2] & Flag.BAD_PHOTOMETRY
    assert found[2] & Flag.TOO_FEW_EPOCHS
    assert np.isfinite(prepared.sequences[0]).all()
    assert np.isnan(prepared.sequences[1:]).all()


def test_quality_flags_follow_their_limits():
    gap = rr_lyrae(200, seed=1)
    inside = (gap[0] / 0.55) % 1 > 0.3
    batch = make_batch(
        [rr_lyrae(49), rr_lyrae(50), (gap[0][inside], gap[1][inside]), rr_lyrae(80, amplitude=0.8)]
    )
    found = flags_of(prepare(batch, points=N_POINTS))
    assert [bool(f & Flag.SPARSE) for f in found] == [True, False, False, False]
    assert [bool(f & Flag.PHASE_GAP) for f in found] == [False, False, True, False]
    assert [bool(f & Flag.AMPLITUDE) for f in found] == [False, False, False, True]


def test_a_missing_epoch_of_maximum_is_found_in_the_curve():
    curve = rr_lyrae(80)
    moved = (curve[0] + 0.123, curve[1])
    known = prepare(make_batch([curve]), points=N_POINTS, alignment="maximum")
    found = prepare(make_batch([moved], epoch_g=np.nan), points=N_POINTS, alignment="maximum")
    assert np.allclose(found.sequences, known.sequences, atol=0.03)


@settings(max_examples=20)
@given(epoch=st.floats(-1000, 1000) | st.just(np.nan))
def test_curves_aligned_by_their_first_harmonic_do_not_depend_on_the_epoch(epoch):
    """Surveys differ in what they call the epoch of maximum; networks must not notice."""
    curve = rr_lyrae(80)
    expected = prepare(make_batch([curve]), points=N_POINTS)
    found = prepare(make_batch([curve], epoch_g=epoch), points=N_POINTS)
    assert np.array_equal(found.sequences, expected.sequences)


def test_the_alignments_differ_by_the_epoch_alone():
    curve = rr_lyrae(80)
    at_maximum = prepare(make_batch([curve]), points=N_POINTS, alignment="maximum").sequences
    a_quarter_later = prepare(
        make_batch([curve], epoch_g=0.25 * 0.55), points=N_POINTS, alignment="maximum"
    ).sequences
    assert np.allclose(
        a_quarter_later[0, :, 0], np.roll(at_maximum[0, :, 0], -N_POINTS // 4), atol=1e-4
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dataset": "smoothed"},
        {"dataset": "raw", "alignment": "rising"},
        {"smoothing": "population", "alignment": "rising", "priors": PRIORS},
    ],
    ids=["preprocessed", "smoothed", "raw", "population"],
)
@settings(max_examples=10)
@given(cut=st.integers(1, 59))
def test_any_partitioning_gives_the_same_stars(simulated, options, cut):
    whole = prepare(simulated, points=N_POINTS, **options)
    table = simulated.to_arrow()
    parts = [
        prepare(LightCurveBatch.from_arrow(piece), points=N_POINTS, **options)
        for piece in (table.slice(0, cut), table.slice(cut))
    ]
    pd.testing.assert_frame_equal(
        pd.concat([p.table for p in parts], ignore_index=True), whole.table
    )
    for joined, kept in zip(
        zip(*(p.inputs for p in parts), strict=True), whole.inputs, strict=True
    ):
        assert np.array_equal(np.concatenate(joined), kept, equal_nan=True)


@pytest.mark.parametrize("alignment", ["fourier", "maximum", "rising"])
def test_smoothing_by_population_gives_other_modes_no_curve(simulated, alignment):
    """Nothing was tried for them, so that nothing has failed."""
    prepared = prepare(
        simulated, points=N_POINTS, smoothing="population", alignment=alignment, priors=PRIORS
    )
    table = prepared.table
    fundamental = (table["best_classification"] == "RRab").to_numpy()
    assert 0 < fundamental.sum() < len(table)
    has_curve = np.isfinite(prepared.sequences[:, :, 0]).all(axis=1)
    assert np.array_equal(has_curve, fundamental)
    assert np.array_equal(np.isfinite(prepared.shape).all(axis=1), fundamental)
    assert np.isnan(prepared.shape[~fundamental]).all()
    assert table.loc[~fundamental, ["phi31", "phi31_error", "amplitude"]].isna().all(axis=None)
    flags = table["flags"].to_numpy()
    assert not (flags & int(Flag.SMOOTHING_FAILED)).any()
    uncertain = (flags & int(Flag.PHI31_UNCERTAIN)) != 0
    assert np.array_equal(uncertain, ~(table["phi31_error"] <= 0.1).to_numpy())


def test_smoothing_by_population_agrees_with_the_spline_on_well_observed_stars():
    curves = [rr_lyrae(300, seed, amplitude=0.3 + 0.01 * seed) for seed in range(8)]
    batch = make_batch(curves, epoch_g=0.05)
    for alignment in ("fourier", "maximum", "rising"):
        ours, theirs = (
            prepare(batch, points=N_POINTS, alignment=alignment, **smoothing)
            for smoothing in ({"smoothing": "population", "priors": PRIORS}, {})
        )
        assert np.abs(ours.sequences - theirs.sequences).max() < 0.02
        assert np.abs(ours.shape - theirs.shape)[:, :14].max() < 0.03
        assert np.abs(ours.table["phi31"] - theirs.table["phi31"]).apply(
            lambda difference: min(difference, 2 * np.pi - difference)
        ).max() < 0.05  # fmt: skip


@pytest.mark.parametrize("smoothing", [{}, {"smoothing": "population", "priors": PRIORS}])
def test_aligned_on_the_rising_branch_a_curve_begins_at_its_mean_and_gets_brighter(
    simulated, smoothing
):
    prepared = prepare(simulated, points=256, alignment="rising", **smoothing)
    mag = prepared.sequences[np.isfinite(prepared.sequences[:, 0, 0]), :, 0]
    # the spline's curve is not the harmonics' one, by which it is aligned
    within = 1e-3 if smoothing else 0.1
    assert len(mag) > 20
    amplitude = np.ptp(mag, axis=1)
    assert np.quantile(np.abs(mag[:, 0]) / amplitude, 0.9) < within
    assert np.mean(mag[:, 8] < mag[:, 0]) > 0.95
    brightest = np.argmin(mag, axis=1)
    before = np.arange(256) < brightest[:, np.newaxis]
    assert np.median(np.max(np.where(before, mag, -1), axis=1) / amplitude) < within


def test_priors_are_for_population_smoothing_and_only_for_it():
    for options in ({"smoothing": "population"}, {"priors": PRIORS}):
        with pytest.raises(ValueError, match="priors belong to population smoothing"):
            prepare(LightCurveBatch.empty(), **options)


def test_whole_cycles_and_a_constant_change_nothing(simulated):
    time = simulated.time + np.repeat(
        simulated.stars["period"].to_numpy() * 17, np.diff(simulated.offsets)
    )
    moved = LightCurveBatch(
        simulated.stars, simulated.offsets, time, (simulated.mag.astype(float) + 2.0).astype("f4"),
        simulated.mag_error, simulated.has_error, simulated.malformed,
    )  # fmt: skip
    original, changed = (prepare(b, points=N_POINTS).sequences for b in (simulated, moved))
    assert np.allclose(original, changed, atol=2e-3, equal_nan=True)


def test_real_stars_are_all_there(shared_data):
    photometry = pd.read_parquet(shared_data / "dekany2022/photometry.parquet")
    stars = pd.read_parquet(shared_data / "dekany2022/stars.parquet").head(300)
    groups = dict(list(photometry.groupby("source_id")))
    curves = [
        (groups[s]["time"].to_numpy(), groups[s]["mag"].to_numpy()) for s in stars["source_id"]
    ]
    batch = make_batch(curves, period=stars["period"].to_numpy())
    prepared = prepare(batch)
    assert len(prepared) == 300
    assert np.isfinite(prepared.sequences).all()
    assert np.median(np.abs(prepared.table["amplitude"] - stars["peak_to_peak_g"])) < 0.05


def test_two_surveys_of_the_same_real_stars_give_the_same_curves(shared_data):
    """Gaia DR2 and DR3 differ in epochs, cleaning and in what they call the epoch of maximum."""
    older = pd.read_parquet(shared_data / "dekany2022/photometry.parquet")
    newer = pd.read_parquet(shared_data / "gaia_dr3/epoch_photometry.parquet")
    rejected = newer["rejected_by_photometry"] | newer["rejected_by_variability"]
    newer = newer[(newer["band"] == "G") & ~rejected].dropna(subset=["time", "mag"])
    sequences = []
    tables = [
        pd.read_parquet(shared_data / f / "stars.parquet") for f in ("dekany2022", "gaia_dr3")
    ]
    both = np.intersect1d(*(t["source_id"] for t in tables))
    for photometry, table in zip((older, newer), tables, strict=True):
        groups = dict(list(photometry.groupby("source_id")))
        curves = [(groups[s]["time"].to_numpy(), groups[s]["mag"].to_numpy()) for s in both]
        stars = table.set_index("source_id").loc[both]
        batch = make_batch(curves, **{c: stars[c].to_numpy() for c in ("period", "epoch_g")})
        sequences.append(prepare(batch, points=N_POINTS).sequences[:, :, 0])
    difference = np.sqrt(np.mean((sequences[0] - sequences[1]) ** 2, axis=1))
    assert len(both) > 300
    assert np.median(difference) < 0.04
    assert np.mean(difference < 0.1) > 0.9
