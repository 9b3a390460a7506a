"""Flat arrays and Arrow's lists are two views of the same light curves."""

import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrl_batch.contracts import SURVEY
from rrl_batch.errors import UserError
from rrl_batch.lightcurve.batch import LightCurveBatch

numbers = st.floats(allow_nan=False, width=32)
lists = st.none() | st.lists(numbers, max_size=4)
rows = st.lists(st.tuples(lists, lists, lists), max_size=6)


def _survey(rows: list[tuple[list | None, list | None, list | None]]) -> pa.Table:
    columns = {
        "source_id": pa.array(range(len(rows)), pa.int64()),
        "ra": pa.nulls(len(rows), pa.float64()),
        "dec": pa.nulls(len(rows), pa.float64()),
        "best_classification": pa.array(["RRab"] * len(rows), pa.string()),
        "period": pa.array([0.5] * len(rows), pa.float64()),
    }
    for name, values in zip(
        ["g_transit_time", "g_transit_mag", "g_transit_mag_error"], range(3), strict=True
    ):
        type_ = SURVEY.schema.field(name).type
        columns[name] = pa.array([row[values] for row in rows], type_)
    return SURVEY.conform(pa.table(columns), "test")


def _check(batch: LightCurveBatch, rows: list[tuple]) -> None:
    """Compare a batch with the rows that it was made from, star by star."""
    assert len(batch) == len(rows)
    for i, (time, mag, error) in enumerate(rows):
        lengths = {len(time or []), len(mag or [])} | ({len(error)} if error is not None else set())
        assert batch.malformed[i] == (len(lengths) > 1)
        assert batch.has_error[i] == (error is not None)
        own = slice(batch.offsets[i], batch.offsets[i + 1])
        if batch.malformed[i]:
            assert own.start == own.stop
            continue
        np.testing.assert_array_equal(batch.time[own], np.array(time or [], float))
        np.testing.assert_array_equal(batch.mag[own], np.array(mag or [], np.float32))
        expected = error if error is not None else [np.nan] * len(time or [])
        np.testing.assert_array_equal(batch.mag_error[own], np.array(expected, np.float32))


@given(rows)
def test_arrow_lists_become_flat_arrays(rows: list[tuple]) -> None:
    _check(LightCurveBatch.from_arrow(_survey(rows)), rows)


@given(rows, st.integers(0, 6), st.integers(0, 6))
def test_slices_and_chunks_are_respected(rows: list[tuple], start: int, stop: int) -> None:
    table = _survey(rows)
    _check(LightCurveBatch.from_arrow(table.slice(start, stop)), rows[start : start + stop])
    chunked = pa.concat_tables([table.slice(0, start), table.slice(start)])
    _check(LightCurveBatch.from_arrow(chunked), rows)


@given(rows)
def test_round_trip_through_arrow(rows: list[tuple]) -> None:
    batch = LightCurveBatch.from_arrow(_survey(rows))
    again = LightCurveBatch.from_arrow(batch.to_arrow())
    pd.testing.assert_frame_equal(again.stars, batch.stars)
    for name in ("offsets", "time", "mag", "mag_error"):
        np.testing.assert_array_equal(getattr(again, name), getattr(batch, name))
        assert getattr(again, name).dtype == getattr(batch, name).dtype
    well_formed = ~batch.malformed
    np.testing.assert_array_equal(again.has_error[well_formed], batch.has_error[well_formed])


def test_null_elements_become_nan() -> None:
    batch = LightCurveBatch.from_arrow(_survey([([1.0, None], [None, 17.0], [0.1, None])]))
    np.testing.assert_array_equal(batch.time, [1.0, np.nan])
    np.testing.assert_array_equal(batch.mag, [np.nan, 17.0])
    np.testing.assert_array_equal(batch.mag_error, np.array([0.1, np.nan], np.float32))


def test_epochs_are_not_copied() -> None:
    table = _survey([([1.0, 2.0], [17.0, 17.5], [0.1, 0.1])] * 3)
    batch = LightCurveBatch.from_arrow(table)
    values = table["g_transit_time"].chunk(0).flatten()
    assert batch.time.__array_interface__["data"][0] == values.buffers()[1].address


def test_record_batch_is_taken_as_it_is() -> None:
    rows = [([1.0], [17.0], None)]
    _check(LightCurveBatch.from_arrow(_survey(rows).to_batches()[0]), rows)


def test_missing_errors_are_unknown() -> None:
    table = _survey([([1.0], [17.0], [0.1])]).drop_columns("g_transit_mag_error")
    batch = LightCurveBatch.from_arrow(table)
    assert not batch.has_error.any()
    assert np.isnan(batch.mag_error).all()


def test_missing_list_column_is_named() -> None:
    table = _survey([([1.0], [17.0], None)]).drop_columns("g_transit_mag")
    with pytest.raises(UserError, match=r"part 7 has no column 'g_transit_mag'"):
        LightCurveBatch.from_arrow(table, "part 7")


def test_scalar_where_a_list_belongs_is_named() -> None:
    table = _survey([([1.0], [17.0], None)]).drop_columns("g_transit_mag")
    table = table.append_column("g_transit_mag", pa.array([17.0]))
    with pytest.raises(UserError, match="column 'g_transit_mag' has the type double"):
        LightCurveBatch.from_arrow(table)


@given(st.lists(st.tuples(st.tuples(lists, lists, lists), st.booleans()), max_size=6))
def test_a_selection_is_the_batch_of_its_rows(marked: list[tuple]) -> None:
    batch = LightCurveBatch.from_arrow(_survey([row for row, _ in marked]))
    wanted = np.array([mark for _, mark in marked], bool)
    chosen = batch.select(wanted)
    _check(chosen, [row for row, mark in marked if mark])
    assert chosen.stars["source_id"].tolist() == np.flatnonzero(wanted).tolist()
    assert chosen.stars.index.tolist() == list(range(wanted.sum()))


def test_an_empty_batch_has_the_types_of_any_other() -> None:
    batch, other = (
        LightCurveBatch.empty(),
        LightCurveBatch.from_arrow(_survey([([1.0], [2.0], None)])),
    )
    _check(batch, [])
    for name in ("offsets", "time", "mag", "mag_error", "has_error", "malformed"):
        assert getattr(batch, name).dtype == getattr(other, name).dtype
    assert batch.stars.columns.equals(other.stars.columns)


def test_batch_can_be_sent_to_another_process() -> None:
    batch = LightCurveBatch.from_arrow(_survey([([1.0], [17.0], [0.1])]))
    _check(pickle.loads(pickle.dumps(batch)), [([1.0], [17.0], [0.1])])  # noqa: S301
