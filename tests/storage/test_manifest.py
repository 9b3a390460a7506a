"""Receipts say which partitions are done; the manifest says that all are."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rrl_batch.contracts import SURVEY
from rrl_batch.errors import RunError, UserError
from rrl_batch.storage import manifest as manifest_module
from rrl_batch.storage.commit import checksum
from rrl_batch.storage.manifest import ROWS_PER_GROUP, Manifest, claim, commit, finished

PATH = "dataset/Norder=0/Dir=0/Npix=3.parquet"


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
        assert claim(root, "survey", JOB) is False
        before = (root / "run.json").read_bytes()
        assert claim(root, "survey", JOB) is False
        assert (root / "run.json").read_bytes() == before


@pytest.mark.parametrize(("kind", "last_file"), [("survey", "manifest.json"), ("model", "m.json")])
def test_claim_tells_whether_the_last_file_is_there(
    tmp_path: Path, kind: str, last_file: str
) -> None:
    claim(tmp_path, kind, JOB, last_file)
    (tmp_path / last_file).write_text("{}")
    assert claim(tmp_path, kind, JOB, last_file) is True


@pytest.mark.parametrize(
    ("kind", "job", "difference"),
    [
        ("survey", JOB | {"photometry": "b"}, "photometry"),
        ("survey", JOB | {"seed": 1}, "seed"),
        ("survey", {"photometry": "a"}, "modes"),
    ],
    ids=["changed", "added", "missing"],
)
@pytest.mark.parametrize(
    ("left", "state"), [("manifest.json", "a finished"), ("receipts/a.json", "an unfinished")]
)
def test_folder_of_another_job_is_refused_and_left_alone(
    tmp_path: Path, kind: str, job: dict[str, object], difference: str, left: str, state: str
) -> None:
    claim(tmp_path, "survey", JOB)
    before = (tmp_path / "run.json").read_bytes()
    (tmp_path / left).parent.mkdir(exist_ok=True)
    (tmp_path / left).write_text("{}")
    with pytest.raises(
        UserError,
        match=rf"{state} survey of another job \(they differ in: {difference}\); name another",
    ):
        claim(tmp_path, kind, job)
    assert (tmp_path / "run.json").read_bytes() == before


def test_folder_in_which_another_job_has_finished_nothing_is_claimed_anew(tmp_path: Path) -> None:
    claim(tmp_path, "survey", JOB)
    (tmp_path / "notes.txt").write_text("kept")
    changed = JOB | {"photometry": "corrected"}
    assert claim(tmp_path, "survey", changed) is False
    assert claim(tmp_path, "survey", changed) is False
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
