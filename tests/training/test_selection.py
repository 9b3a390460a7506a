"""Stars are selected by mode, curve and condition, and each of these is counted."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrl_batch.contracts.training import StarCounts, total
from rrl_batch.errors import UserError
from rrl_batch.job import TrainingSection, make_job
from rrl_batch.training.selection import HAS_CURVE, Selection

PUBLISHED = Selection(("RRab",), TrainingSection().select)


def stars(**columns):
    """Return a prepared table with labels."""
    good = {
        "best_classification": "RRab", "num_epochs_used": 60, "phi31": 2.0, "phi31_error": 0.05,
        "amplitude": 0.8, "feh": -1.5, "feh_error": np.nan,
    }  # fmt: skip
    n = max((len(column) for column in columns.values()), default=1)
    return pd.DataFrame(good | columns, index=range(n))


def test_the_selection_of_a_job_is_the_published_one():
    table = stars(
        num_epochs_used=[50, 49, 50, 50, 50, 50],
        amplitude=[1.4, 1.4, 1.41, 1.4, 1.4, np.nan],
        phi31_error=[0.1, 0.1, 0.1, 0.11, 0.1, 0.1],
        feh_error=[0.4, 0.4, 0.4, 0.4, 0.41, 0.4],
    )
    assert PUBLISHED.is_selected(table).tolist() == [True, False, False, False, False, False]
    assert PUBLISHED.is_selected(stars()).tolist() == [True]  # an unknown error of a label passes


def test_a_star_without_a_curve_or_phi31_never_trains():
    everything = Selection(("RRab", "RRc"), "")
    table = stars(amplitude=[1, np.nan, 1, 1], phi31=[1, np.nan, np.nan, np.inf])
    assert everything.is_selected(table).tolist() == [True, False, False, False]
    assert [c.cut for c in everything.count(table)] == ["RRab or RRc", HAS_CURVE]


def test_what_can_be_tested_without_a_label_is_told_apart():
    text = "amplitude <= 1.4 and not feh_error > 0.4 and (period < 1 or feh > -1) and phi31 > 0"
    of_curves = Selection(("RRab",), text).of_curves
    assert of_curves == "(amplitude <= 1.4) and (phi31 > 0)"
    assert [str(cut) for cut in Selection(("RRc",), of_curves).cuts] == [
        "amplitude <= 1.4", "phi31 > 0",
    ]  # fmt: skip
    assert Selection(("RRab",), "feh < 0").of_curves == ""


@given(st.lists(st.tuples(*[st.sampled_from([0.05, 0.2, np.nan])] * 3), min_size=1), st.integers(0))
def test_what_the_cuts_remove_and_leave_are_all_stars_however_they_are_cut(values, where):
    phi31_error, amplitude, feh_error = np.array(values).T
    table = stars(phi31_error=phi31_error, amplitude=amplitude * 10, feh_error=feh_error * 3)
    counts = PUBLISHED.count(table)
    assert sum(c.removed for c in counts) + PUBLISHED.is_selected(table).sum() == len(table)
    for cut in counts:
        assert cut.removed <= cut.alone
    at = where % (len(table) + 1)
    parts = [PUBLISHED.count(part) for part in (table.iloc[:at], table.iloc[at:])]
    assert total(parts) == counts


def test_the_counts_are_a_table_and_a_sentence():
    counts = PUBLISHED.count(stars(num_epochs_used=[10, 60], feh_error=[0.1, np.nan]))
    told = StarCounts(1200, 1198, counts, 1)
    lines = told.lines()
    assert lines[0] == "1,200 labels, 1,198 of them of stars not in the survey"
    assert lines[1].split() == ["removed", "alone", "unknown", "cut"]
    assert [line.split(maxsplit=3) for line in lines[2:-1]] == [
        ["0", "0", "0", "RRab"],
        ["0", "0", "0", HAS_CURVE],
        ["1", "1", "0", "num_epochs_used >= 50"],
        ["0", "0", "0", "amplitude <= 1.4"],
        ["0", "0", "0", "phi31_error <= 0.1"],
        ["0", "0", "1", "not feh_error > 0.4"],
    ]
    assert lines[-1] == "1 stars to train on"
    assert "num_epochs_used >= 50 left out 1;" in told.sentence()


def test_a_condition_of_a_job_is_checked_when_the_job_is_read():
    with pytest.raises(UserError, match=r"test: training\.select: there is no column 'amplitud'"):
        make_job({"training": {"select": "amplitud <= 1.4"}}, "test")
