"""A file is whole or absent, whatever happens while it is written."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from rrl_batch.errors import RunError
from rrl_batch.storage.commit import checksum, fingerprint, replacing, write_json


def test_file_appears_at_the_end_of_the_block(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "x.txt"
    with replacing(target) as partial:
        partial.write_text("whole")
        assert not target.exists()
        assert partial.parent == target.parent
        assert partial.name.startswith("_")
    assert target.read_text() == "whole"
    assert [p.name for p in target.parent.iterdir()] == ["x.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_error_leaves_the_old_file_and_no_partial_one(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "x.txt"
    target.write_text("old")
    expected = RunError if error is OSError else error

    def write_half() -> None:
        with replacing(target) as partial:
            partial.write_text("half")
            raise error

    with pytest.raises(expected):
        write_half()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_processes_of_the_same_number_on_two_hosts_do_not_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "x.txt"
    with replacing(target) as ours:
        monkeypatch.setattr("socket.gethostname", lambda: "another")
        with replacing(target) as theirs:
            theirs.write_text("same")
            ours.write_text("same")
    assert target.read_text() == "same"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_block_that_writes_nothing_fails(tmp_path: Path) -> None:
    with (
        pytest.raises(RunError, match=r"x\.txt could not be written"),
        replacing(tmp_path / "x.txt"),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_folder_that_cannot_be_made_is_a_run_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="could not be written"), replacing(tmp_path / "file/x"):
        pass


def test_content_reaches_the_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order that a power cut cannot spoil: flush the file, rename it, flush the folder."""
    events = []
    fsync, rename = os.fsync, Path.replace
    monkeypatch.setattr(
        os,
        "fsync",
        lambda fd: (events.append(str(Path(f"/proc/self/fd/{fd}").readlink())), fsync(fd)),
    )
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (events.append("rename"), rename(self, to))[1]
    )
    with replacing(tmp_path / "x.txt") as partial:
        partial.write_text("whole")
    assert events == [str(partial), "rename", str(tmp_path)]


def test_json_is_the_same_for_the_same_value(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [1.5, None]})
    write_json(tmp_path / "b.json", {"a": [1.5, None], "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [1.5, None], "b": 1}


def test_json_of_nan_is_refused_and_nothing_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", float("nan"))
    assert not list(tmp_path.iterdir())


def test_checksum_is_the_sha256_of_the_content(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "x").write_bytes(content)
    assert checksum(tmp_path / "x") == hashlib.sha256(content).hexdigest()


def test_fingerprint_follows_content_and_not_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint("a", "b") != fingerprint("ab")
    assert fingerprint("a", "b") != fingerprint("b", "a")
    assert fingerprint(1) != fingerprint("1")
