"""Receipts say which partitions are done; the manifest says that all are."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrl_batch.contracts import SURVEY
from rrl_batch.errors import RunError, UserError
from rrl_batch.storage import manifest as manifest_module
from rrl_batch.storage.commit import checksum
from rrl_batch.storage.manifest import (
    ROWS_PER_GROUP,
    Claim,
    Manifest,
    Receipt,
    adopt,
    claim,
    commit,
    completed,
    finished,
    same_values,
    strays,
    withdrawn_if_refused,
)
from rrl_batch.storage.sky import Pixel

PATH = Pixel(0, 3).file("f")


def _table(rows: int = 5) -> pa.Table:
    columns = {"source_id": pa.array(np.arange(rows)), "ra": pa.array(np.linspace(0, 90, rows))}
    columns |= {"dec": columns["ra"], "period": columns["ra"]}
    columns["best_classification"] = pa.array(["RRab"] * rows)
    for name in ("g_transit_time", "g_transit_mag"):
        columns[name] = pa.array([[1.0, 2.0]] * rows, SURVEY.schema.field(name).type)
    return SURVEY.conform(pa.table(columns), "test")


def test_commit_writes_the_rows_and_a_receipt(tmp_path: Path) -> None:
    receipt = commit(tmp_path, PATH, _table(), "f", {"epochs": 10})
    written = pq.read_table(tmp_path / PATH, partitioning=None)
    assert written.equals(_table())
    for column in SURVEY.columns:
        assert column.field.metadata.items() <= written.schema.field(column.name).metadata.items()
    assert (receipt.rows, receipt.counts) == (5, {"epochs": 10})
    assert receipt.sha256 == checksum(tmp_path / PATH)
    assert finished(tmp_path, PATH, "f") == receipt


def test_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    first = commit(tmp_path / "a", PATH, _table(), "f")
    assert commit(tmp_path / "b", PATH, _table(), "f") == first


def test_floats_are_packed_as_byte_streams_with_zstd(tmp_path: Path) -> None:
    commit(tmp_path, PATH, _table(), "f")
    group = pq.read_metadata(tmp_path / PATH).row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    packed = {name for name, c in columns.items() if "BYTE_STREAM_SPLIT" in c.encodings}
    assert packed == {
        "ra", "dec", "period", "epoch_g", "int_average_g", "peak_to_peak_g", "phi31_g",
        "phi31_g_error", "g_transit_time.list.element", "g_transit_mag.list.element",
        "g_transit_mag_error.list.element",
    }  # fmt: skip


def test_row_groups_are_those_of_a_task(tmp_path: Path) -> None:
    commit(tmp_path, PATH, _table(ROWS_PER_GROUP + 1), "f")
    metadata = pq.read_metadata(tmp_path / PATH)
    rows = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert rows == [ROWS_PER_GROUP, 1]


def test_nothing_is_finished_in_an_empty_folder(tmp_path: Path) -> None:
    assert finished(tmp_path, PATH, "f") is None


def test_partition_of_another_job_is_not_finished(tmp_path: Path) -> None:
    commit(tmp_path, PATH, _table(), "f")
    assert finished(tmp_path, PATH, "g") is None


def test_receipt_without_file_is_not_finished(tmp_path: Path) -> None:
    commit(tmp_path, PATH, _table(), "f")
    (tmp_path / PATH).unlink()
    assert finished(tmp_path, PATH, "f") is None


def test_file_without_receipt_is_not_finished(tmp_path: Path) -> None:
    commit(tmp_path, PATH, _table(), "f")
    for receipt in (tmp_path / "receipts").iterdir():
        receipt.unlink()
    assert finished(tmp_path, PATH, "f") is None


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", '"x"', '{"path": 1}'])
def test_damaged_receipt_is_not_finished(tmp_path: Path, content: str) -> None:
    commit(tmp_path, PATH, _table(), "f")
    next((tmp_path / "receipts").iterdir()).write_text(content)
    assert finished(tmp_path, PATH, "f") is None


def test_receipt_is_written_after_the_partition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        assert (tmp_path / PATH).exists()
        raise RuntimeError

    monkeypatch.setattr(manifest_module, "write_json", fail)
    with pytest.raises(RuntimeError):
        commit(tmp_path, PATH, _table(), "f")
    assert finished(tmp_path, PATH, "f") is None


def test_file_that_does_not_read_back_is_not_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table = pq.write_table
    monkeypatch.setattr(
        manifest_module.pq, "write_table", lambda table, *a, **k: write_table(table[:-1], *a, **k)
    )
    with pytest.raises(RunError, match="did not read back"):
        commit(tmp_path, PATH, _table(), "f")
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_value_that_the_disk_has_changed_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The footer and all counts are right; one magnitude of one epoch is not."""
    spoilt = _table().to_pylist()
    spoilt[3]["g_transit_mag"][1] += 1e-6
    write_table = pq.write_table
    monkeypatch.setattr(
        manifest_module.pq,
        "write_table",
        lambda _, *a, **k: write_table(pa.Table.from_pylist(spoilt, SURVEY.schema), *a, **k),
    )
    with pytest.raises(RunError, match="did not read back"):
        commit(tmp_path, PATH, _table(), "f")
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


COLUMNS = [
    pa.array([1.0, float("nan"), None], pa.float64()),
    pa.array([1.0, -0.0, None], pa.float32()),
    pa.array([1, None, 2**62], pa.int64()),
    pa.array(["a", None, ""]),
    pa.array([[1.0, float("nan")], [], None], pa.list_(pa.float32())),
    pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, float("nan")]], pa.list_(pa.float32(), 2)),
]


@given(st.sampled_from(COLUMNS), st.integers(0, 2))
def test_values_are_compared_to_the_bit(column: pa.Array, row: int) -> None:
    table = pa.table({"x": column})
    assert same_values(table, pa.table({"x": pa.concat_arrays([column[:row], column[row:]])}))
    assert same_values(table[:row], pa.table({"x": column[:row]}))
    others = [c for c in COLUMNS if c.type != column.type]
    assert not any(same_values(table, pa.table({"x": other})) for other in others)
    swapped = column.take(pa.array([2, 1, 0]))
    assert same_values(table, pa.table({"x": swapped})) is False
    if pa.types.is_floating(column.type):  # equal as numbers, and yet not the same
        zeros = pa.table({"x": pa.array([0.0], column.type)})
        assert not same_values(zeros, pa.table({"x": pa.array([-0.0], column.type)}))


def _dataset(root: Path) -> Manifest:
    receipt = commit(root, PATH, _table(), "f")
    manifest = Manifest("survey", 5, {"description": "test"}, [receipt])
    manifest.write(root)
    return manifest


def test_manifest_is_never_written_over_another(tmp_path: Path) -> None:
    _dataset(tmp_path)
    before = (tmp_path / "manifest.json").read_bytes()
    with pytest.raises(RunError, match=r"manifest\.json was written by another run meanwhile"):
        Manifest("survey", 0, {}, []).write(tmp_path)
    assert (tmp_path / "manifest.json").read_bytes() == before
    assert not list(tmp_path.glob("*.partial"))


def test_what_the_manifest_does_not_name_is_removed_before_it_is_written(tmp_path: Path) -> None:
    commit(tmp_path, "dataset/Norder=0/Dir=0/Npix=3.older.parquet", _table(2), "older")
    (tmp_path / "dataset/Norder=0/Dir=0/_Npix=3.x.parquet.host-1.partial").write_bytes(b"PAR1")
    for name in ("_metadata", "_common_metadata"):
        (tmp_path / "dataset" / name).write_bytes(b"PAR1")
    (tmp_path / "notes.txt").write_text("kept")
    manifest = _dataset(tmp_path)
    kept = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    receipt = f"receipts/{PATH.replace('/', '_')}.json"
    sides = {"dataset/_metadata", "dataset/_common_metadata"}
    assert kept == {PATH, receipt, "manifest.json", "notes.txt"} | sides

    late = tmp_path / "dataset/Norder=0/Dir=0/Npix=3.older.parquet"  # a worker believed dead
    late.write_bytes(b"PAR1")
    assert strays(tmp_path, manifest) == [late]
    assert completed(tmp_path) == manifest
    assert not late.exists()


def test_a_manifest_that_names_a_file_which_is_gone_is_taken_back(tmp_path: Path) -> None:
    _dataset(tmp_path)
    (tmp_path / PATH).unlink()
    assert completed(tmp_path) is None
    assert not (tmp_path / "manifest.json").exists()


def test_partitions_made_of_the_same_things_are_taken_over_under_new_names(tmp_path: Path) -> None:
    paths = {n: f"dataset/Norder=0/Dir=0/Npix={n}" for n in range(3)}
    old = {n: commit(tmp_path, f"{p}.old.parquet", _table(n + 1), f"of {n}", {"epochs": n})
           for n, p in paths.items()}  # fmt: skip
    wanted = {f"{p}.new.parquet": f"of {n}" for n, p in paths.items()}
    wanted[f"{paths[1]}.new.parquet"] = "of something else"
    for _ in range(2):
        assert adopt(tmp_path, wanted) == 2
        for n in (0, 2):
            path = f"{paths[n]}.new.parquet"
            receipt = finished(tmp_path, path, f"of {n}")
            assert isinstance(receipt, Receipt)
            assert receipt.content() == old[n].content() | {"path": path}
            assert checksum(tmp_path / path) == old[n].sha256
        assert finished(tmp_path, f"{paths[1]}.new.parquet", "of something else") is None


def test_a_folder_whose_claim_was_interrupted_is_claimed(tmp_path: Path) -> None:
    (tmp_path / "_run.json.host-1.partial").write_text("{")
    assert claim(tmp_path, "survey", JOB) == Claim(is_finished=False)


def test_manifest_round_trip(tmp_path: Path) -> None:
    receipt = commit(tmp_path, PATH, _table(), "f")
    manifest = Manifest("survey", 5, {"description": "test", "synthetic": False}, [receipt])
    manifest.write(tmp_path)
    assert Manifest.read(tmp_path) == manifest


def test_folder_without_manifest_holds_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no dataset: there is no manifest\.json"):
        Manifest.read(tmp_path)


def test_folder_with_receipts_alone_is_an_unfinished_run(tmp_path: Path) -> None:
    commit(tmp_path, PATH, _table(), "f")
    with pytest.raises(UserError, match="unfinished run; run its job again"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", '{"partitions": [], "kind": "survey"}'])
def test_damaged_manifest_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=r"manifest\.json is not a manifest"):
        Manifest.read(tmp_path)


JOB = {"photometry": "a", "modes": ("RRab", "RRc")}


def test_empty_or_absent_folder_can_be_claimed_and_claimed_again(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for root in (tmp_path / "absent", tmp_path / "empty"):
        assert claim(root, "survey", JOB) == Claim(is_finished=False)
        before = (root / "run.json").read_bytes()
        assert claim(root, "survey", JOB) == Claim(is_finished=False)
        assert (root / "run.json").read_bytes() == before


def test_a_refused_command_takes_back_its_claim_and_nothing_else(tmp_path: Path) -> None:
    mine, theirs, begun = (tmp_path / name for name in ("mine", "theirs", "begun"))
    claim(theirs, "survey", JOB)

    def ended_by(error: Exception) -> None:
        with withdrawn_if_refused([mine, theirs, begun]):
            claim(mine, "survey", JOB)
            (mine / "staging" / "answers").mkdir(parents=True)
            claim(begun, "survey", JOB)
            (begun / "part").write_text("worth keeping")
            raise error

    with pytest.raises(UserError):
        ended_by(UserError("Give something else."))
    assert not mine.exists()
    assert (theirs / "run.json").exists()
    assert (begun / "run.json").exists()
    with pytest.raises(RunError):
        ended_by(RunError("The archive has failed."))
    assert (mine / "run.json").exists()


@pytest.mark.parametrize(("kind", "last_file"), [("survey", "manifest.json"), ("model", "m.json")])
def test_claim_tells_whether_the_last_file_is_there(
    tmp_path: Path, kind: str, last_file: str
) -> None:
    claim(tmp_path, kind, JOB, last_file)
    (tmp_path / last_file).write_text("{}")
    assert claim(tmp_path, kind, JOB, last_file).is_finished


@pytest.mark.parametrize(
    ("job", "difference"),
    [
        (JOB | {"photometry": "b"}, ("photometry",)),
        (JOB | {"seed": 1}, ("seed",)),
        ({"photometry": "a", "fit": {"epochs": 3}}, ("modes", "fit.epochs")),
    ],
    ids=["changed", "added", "missing"],
)
def test_finished_output_of_another_job_is_refused_and_an_unfinished_one_is_taken_over(
    tmp_path: Path, job: dict[str, object], difference: tuple[str, ...]
) -> None:
    claim(tmp_path, "survey", JOB | {"fit": {"epochs": 2}} if "fit" in job else JOB)
    before = (tmp_path / "run.json").read_bytes()
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(UserError, match=r"a finished survey of another job \(they differ in: "):
        claim(tmp_path, "survey", job)
    assert (tmp_path / "run.json").read_bytes() == before
    (tmp_path / "manifest.json").unlink()
    assert set(claim(tmp_path, "survey", job).changed) == set(difference)
    assert claim(tmp_path, "survey", job) == Claim(is_finished=False)


def test_what_else_lies_in_the_folder_of_an_unfinished_run_is_left_alone(tmp_path: Path) -> None:
    claim(tmp_path, "survey", JOB)
    (tmp_path / "notes.txt").write_text("kept")
    claim(tmp_path, "survey", JOB | {"photometry": "corrected"})
    assert (tmp_path / "notes.txt").read_text() == "kept"


def test_folder_of_another_kind_is_refused_whatever_it_holds(tmp_path: Path) -> None:
    claim(tmp_path, "model", JOB)
    with pytest.raises(UserError, match="already holds a model, not a survey"):
        claim(tmp_path, "survey", JOB)


def test_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match="already holds something else"):
        claim(tmp_path, "survey", JOB)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match="already holds something else"):
        claim(tmp_path / "out", "survey", JOB)


@pytest.mark.parametrize("content", ["", "[]", '{"kind": "survey"}'])
def test_damaged_claim_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        claim(tmp_path, "survey", JOB)
