"""Conditions are what they say, of columns that there are, and nothing but that."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrl_batch.contracts.training import LABELLED_STARS
from rrl_batch.errors import UserError
from rrl_batch.training.expression import conditions

TABLE = pd.DataFrame(
    {"best_classification": ["RRab", "RRc", None], "amplitude": [0.5, 1.5, np.nan],
     "period": [0.5, 0.3, 0.6], "feh_error": [np.nan, 0.2, 0.5],
     "num_epochs_used": np.array([12, 50, 60], np.int32)}
)  # fmt: skip


def rows(text):
    """Return the rows that fulfil all conditions."""
    found = conditions(text, LABELLED_STARS)
    return np.flatnonzero(np.all([one.fulfilled(TABLE) for one in found], axis=0)).tolist()


@pytest.mark.parametrize(
    ("text", "fulfilled"),
    [
        ("num_epochs_used >= 50", [1, 2]),
        ("num_epochs_used == 50", [1]),
        ("0.3 < period <= 0.6", [0, 2]),
        ("period * 2 - 0.1 < 1 and -amplitude < -1", [1]),
        ("period > 0.55 or (amplitude > 1 and num_epochs_used > 5)", [1, 2]),
        ("best_classification in ('RRab', 'RRd')", [0]),
        ("best_classification == 'RRc'", [1]),
        ("period in [0.5, 0.6]", [0, 2]),
        ("amplitude / 0 > 1", [0, 1]),
        ("1 / 0 > 1 and 'a' == 'a'", [0, 1, 2]),
        ("num_epochs_used\n  >= 50\n", [1, 2]),
    ],
)
def test_a_condition_means_what_it_says(text, fulfilled):
    assert rows(text) == fulfilled


def test_a_comparison_with_an_unknown_value_is_false():
    assert rows("amplitude <= 1.4") == [0]
    assert rows("amplitude != 1.5") == [0]
    assert rows("feh_error < 0.4") == [1]
    assert rows("not feh_error > 0.4") == [0, 1]
    assert rows("best_classification != 'RRab'") == [1]
    assert rows("best_classification not in ['RRab']") == [1]
    (one,) = conditions("feh_error < amplitude", LABELLED_STARS)
    assert one.unknown(TABLE).tolist() == [True, False, True]


def test_conditions_are_those_that_and_joins():
    text = "period > 0.2 and (amplitude > 0 and period < 1) and (period < 2 or amplitude < 3)"
    found = conditions(text, LABELLED_STARS)
    assert [str(one) for one in found] == [
        "period > 0.2", "amplitude > 0", "period < 1", "period < 2 or amplitude < 3",
    ]  # fmt: skip
    assert found[3].columns == {"period", "amplitude"}
    assert conditions(" \n", LABELLED_STARS) == ()


@given(st.floats(), st.lists(st.floats(), max_size=9))
def test_comparisons_of_numbers_are_those_of_python(limit, values):
    if not np.isfinite(limit):
        return
    table = pd.DataFrame({"period": np.array(values, float)})
    for sign in ("<", "<=", ">", ">=", "=="):
        (one,) = conditions(f"period {sign} {limit!r}", LABELLED_STARS)
        expected = [eval(f"v {sign} {limit!r}", {"v": v}) for v in values]  # noqa: S307
        assert one.fulfilled(table).tolist() == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("amplitude_g < 1.4", "there is no column 'amplitude_g'; did you mean 'amplitude'?"),
        ("num_epoch_used > 1", "no column 'num_epoch_used'; did you mean 'num_epochs_used'?"),
        ("source_id > 1", "there is no column 'source_id'"),
        ("period >", "invalid syntax in 'period >'."),
        ("period = 1", " in 'period = 1'."),
        ("period > 1; period", "invalid syntax"),
        ("period", "'period' is a number where a condition belongs."),
        ("period and amplitude > 1", "'period' is a number where a condition belongs."),
        ("period + 'a' < 1", "is a text where a number belongs."),
        ("best_classification == 5", "'5' is a number where a text belongs."),
        ("best_classification < 'RRc'", "cannot be compared in this way"),
        ("period is 1", "cannot be compared in this way"),
        ("period in amplitude", "cannot be compared in this way"),
        ("period in (1, 'a')", "is a text where a number belongs."),
        ("(period > 1) == (amplitude > 1)", "cannot be compared in this way"),
        ("__import__('os').system('true') == 0", "may be no part of it"),
        ("period.__class__ == 1", "may be no part of it"),
        ("period[0] > 1", "may be no part of it"),
        ("(lambda: 1)() > 0", "may be no part of it"),
        ("[v for v in (1, 2)] == 1", "may be no part of it"),
        ("f'{period}' == 'a'", "may be no part of it"),
        ("(period := 1) > 0", "may be no part of it"),
        ("period > 1 if 1 else 2", "may be no part of it"),
        ("period ** 2 > 1", "may be no part of it"),
        ("period > True", "may be no part of it"),
        ("period > 1e999", "may be no part of it"),
        ("period > 1j", "may be no part of it"),
        ("-" * 1900 + "period > 1", "it is nested too deeply"),
        ("(" * 300 + "period > 1" + ")" * 300, "too many nested parentheses"),
        ("period > " + "1" * 2000, "it has 2,009 characters, and 2,000 are the most."),
    ],
)
def test_anything_else_is_refused_in_a_sentence(text, sentence):
    with pytest.raises(UserError) as refusal:
        conditions(text, LABELLED_STARS)
    assert sentence in str(refusal.value)
