"""The check of a table against its contract."""

import pyarrow as pa
import pytest

from rrl_batch.contracts import CATALOGUE, LABELS, STARS, SURVEY, Column, Contract, Flag
from rrl_batch.contracts.experiment import COMPARED_STARS, HISTORY, MEMBERS, OUT_OF_FOLD
from rrl_batch.contracts.flags import DESCRIPTIONS
from rrl_batch.errors import UserError

CONTRACT = Contract(
    "sample",
    (
        Column("source_id", pa.int64(), None, "meta.id", "Identifier", nullable=False),
        Column("period", pa.float64(), "d", "time.period", "Period"),
        Column("count", pa.int32(), None, "meta.number", "Count", required=False),
        Column("name", pa.string(), None, "meta.id", "Name", required=False),
    ),
)


def _table(**columns: pa.Array) -> pa.Table:
    return pa.table({"source_id": pa.array([1, 2]), "period": pa.array([0.5, 0.6])} | columns)


def test_columns_are_put_in_order_and_others_left_out() -> None:
    table = _table(extra=pa.array([1, 2])).select(["extra", "period", "source_id"])
    conformed = CONTRACT.conform(table, "x.csv")
    assert conformed.schema.equals(CONTRACT.schema, check_metadata=True)
    assert conformed["source_id"].to_pylist() == [1, 2]
    assert conformed["period"].to_pylist() == [0.5, 0.6]


def test_absent_optional_column_is_null() -> None:
    assert CONTRACT.conform(_table(), "x.csv")["count"].to_pylist() == [None, None]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1.0, 2.0]),
        pa.array([1, 2], pa.int64()),
        pa.array(["1", "2"]),
        pa.array([1, 2], pa.uint8()),
    ],
    ids=str,
)
def test_types_convert_where_nothing_is_lost(array: pa.Array) -> None:
    assert CONTRACT.conform(_table(count=array), "x.csv")["count"].to_pylist() == [1, 2]


@pytest.mark.parametrize(
    "text",
    [pa.array(["a", "b"], pa.large_string()), pa.array(["a", "b"]).dictionary_encode()],
    ids=["large", "dictionary"],
)
def test_every_kind_of_text_becomes_string(text: pa.Array) -> None:
    assert CONTRACT.conform(_table(name=text), "x.csv")["name"].to_pylist() == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("count", pa.array([1.5, 2.0])),
        ("count", pa.array([1, 2**40])),
        ("period", pa.array(["0.5", "half"])),
        ("period", pa.array([[0.5], [0.6]])),
    ],
    ids=["fraction", "overflow", "word", "list"],
)
def test_wrong_type_names_file_column_and_types(name: str, array: pa.Array) -> None:
    with pytest.raises(UserError, match=rf"x\.csv: column '{name}' has the type .* as (int|dou)"):
        CONTRACT.conform(_table(**{name: array}), "x.csv")


def test_identifiers_that_went_through_floats_are_refused() -> None:
    """A float64 holds Gaia's identifiers to 128 or 256: two stars may have become one."""
    with pytest.raises(UserError, match="'source_id' has the type double"):
        CONTRACT.conform(_table(source_id=pa.array([1.217515167039598e18, 2.0])), "x.csv")


def test_missing_column_is_described_and_the_others_listed() -> None:
    table = _table().drop_columns("period")
    with pytest.raises(UserError, match=r"x\.csv has no column 'period' \(Period\).*: source_id\."):
        CONTRACT.conform(table, "x.csv")


def test_repeated_column_is_refused() -> None:
    table = pa.table([pa.array([1]), pa.array([0.5]), pa.array([0.6])],
                     names=["source_id", "period", "period"])  # fmt: skip
    with pytest.raises(UserError, match="2 columns named 'period'"):
        CONTRACT.conform(table, "x.csv")


def test_null_where_none_is_allowed_names_the_row() -> None:
    table = _table(source_id=pa.array([7, None]))
    with pytest.raises(UserError, match="'source_id' has no value in row 1 "):
        CONTRACT.conform(table, "x.csv")


def _in_unit(unit: str) -> pa.Table:
    fields = [
        pa.field("source_id", pa.int64()),
        pa.field("period", pa.float64(), metadata={"unit": unit}),
    ]
    return pa.table([[1], [0.5]], schema=pa.schema(fields))


@pytest.mark.parametrize("unit", ["d", "day", ""])
def test_right_unit_passes(unit: str) -> None:
    assert CONTRACT.conform(_in_unit(unit), "x.vot")["period"].to_pylist() == [0.5]


@pytest.mark.parametrize("unit", ["h", "mag", "fortnights of old"])
def test_other_unit_is_refused(unit: str) -> None:
    with pytest.raises(UserError, match=rf"x\.vot: column 'period' has the unit '{unit}' .*'d'"):
        CONTRACT.conform(_in_unit(unit), "x.vot")


@pytest.mark.parametrize(
    "contract",
    [STARS, SURVEY, LABELS, CATALOGUE, COMPARED_STARS, OUT_OF_FOLD, MEMBERS, HISTORY],
    ids=lambda c: c.table,
)
def test_columns_have_unit_ucd_and_description_that_astropy_reads(contract: Contract) -> None:
    from astropy.io.votable.ucd import parse_ucd
    from astropy.units import Unit

    assert len(set(contract.names)) == len(contract.names)
    for column, field in zip(contract.columns, contract.schema, strict=True):
        Unit(column.unit or "", parse_strict="raise")
        assert parse_ucd(column.ucd, check_controlled_vocabulary=True)
        assert field.metadata[b"description"].decode() == column.description != ""


def test_select_keeps_the_contract_s_order() -> None:
    assert STARS.select(["period", "source_id"]).names == ["source_id", "period"]


def test_flags_are_single_bits_each_described() -> None:
    assert all(flag.value.bit_count() == 1 for flag in Flag)
    assert set(DESCRIPTIONS) == set(Flag)
    assert max(Flag) < 2**31
