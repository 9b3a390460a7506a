"""What must not matter does not: how a survey is cut and ordered, whole periods, a zero point."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrl_batch.catalogue.verify import read_catalogue
from rrl_batch.contracts import Flag
from rrl_batch.inference.model import open_model
from rrl_batch.lightcurve.prepare import prepare
from rrl_batch.survey import read
from rrl_batch.survey.read import open_survey

UNIT_OF_TIME, UNIT_OF_MAG = 2.0**-20, 2.0**-10
"""In which floats hold the sums below exactly: 0.08 s, a millimagnitude."""


@pytest.fixture(scope="module")
def survey(run):
    batches = [batch for part in open_survey(run.survey).partitions for batch in part.batches()]
    return pa.concat_tables([batch.to_arrow() for batch in batches])


@settings(max_examples=4, derandomize=True)
@given(
    seed=st.integers(0, 2**32),
    files=st.integers(1, 4),
    rows=st.integers(1, 120),
    most=st.integers(20, 300),
    stars=st.integers(7, 200),
)
def test_however_a_survey_is_cut_and_ordered_it_gives_the_same_catalogue(
    run, survey, tmp_path_factory, seed, files, rows, most, stars
):
    order = np.random.default_rng(seed).permutation(len(survey))
    folder = tmp_path_factory.mktemp("cut")
    for number, some in enumerate(np.array_split(order, files)):
        pq.write_table(survey.take(some), folder / f"{number}.parquet", row_group_size=rows)
    model = open_model(run.model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read, "ROWS_PER_GROUP", most)
        patch.setattr(read, "STARS_PER_BATCH", stars)
        batches = [b for part in open_survey(folder).partitions for b in part.batches()]
    found = pd.concat([model.predict(batch) for batch in batches]).sort_values("source_id")
    expected = read_catalogue(run.catalogue).sort_values("source_id")
    pd.testing.assert_frame_equal(
        found.astype(expected.dtypes).reset_index(drop=True), expected.reset_index(drop=True)
    )


@pytest.fixture(scope="module")
def exact(run):
    """Some stars whose periods, times and magnitudes are multiples of a unit."""
    batch = next(iter(open_survey(run.survey).largest.batches()))
    period = np.round(batch.stars["period"] / UNIT_OF_TIME) * UNIT_OF_TIME
    return replace(
        batch,
        stars=batch.stars.assign(period=period),
        time=np.round(batch.time / UNIT_OF_TIME) * UNIT_OF_TIME,
        mag=(np.round(batch.mag / UNIT_OF_MAG) * UNIT_OF_MAG).astype(np.float32),
    )


@pytest.mark.parametrize("alignment", ["fourier", "maximum", "rising"])
@settings(max_examples=5, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_whole_periods_change_nothing(exact, alignment, seed):
    """Each epoch is moved by another number of them; `test_fold` has what rounding may do."""
    cycles = np.random.default_rng(seed).integers(-2000, 2000, len(exact.time))
    period = np.repeat(exact.stars["period"].to_numpy(), np.diff(exact.offsets))
    moved = replace(exact, time=exact.time + cycles * period)
    before, after = (prepare(batch, points=32, alignment=alignment) for batch in (exact, moved))
    assert np.array_equal(before.sequences, after.sequences, equal_nan=True)
    assert np.array_equal(before.shape, after.shape, equal_nan=True)
    # a drift of the phase is one in time
    of_time = int(Flag.PERIOD_DOUBTFUL | Flag.MODULATED)
    tables = [some.table.assign(flags=some.table["flags"] & ~of_time) for some in (before, after)]
    pd.testing.assert_frame_equal(*tables)


@settings(max_examples=5, derandomize=True)
@given(constant=st.integers(-4000, 4000))
def test_a_constant_added_to_the_magnitudes_changes_nothing(exact, constant):
    added = np.float32(constant * UNIT_OF_MAG)
    before, after = (
        prepare(batch, points=32) for batch in (exact, replace(exact, mag=exact.mag + added))
    )
    # the sums within the spline are rounded otherwise
    assert np.allclose(before.sequences, after.sequences, rtol=0, atol=1e-8, equal_nan=True)
    assert np.array_equal(before.table["flags"], after.table["flags"])
