"""Estimates against what a run has really written, and against a disk that is too small."""

from rrl_batch.doctor import room as disk
from rrl_batch.doctor.room import room
from rrl_batch.doctor.subject import Subject
from rrl_batch.job import make_job


def size(root):
    return sum(file.stat().st_size for file in root.rglob("*") if file.is_file())


def subject(root, stars, **sections):
    paths = {name: {"path": str(root / name)} for name in ("survey", "catalogue")}
    job = make_job({"simulate": {"stars": stars}} | paths | sections, "test")
    return Subject(job.cluster, job)


def test_the_estimate_covers_what_a_run_writes_and_is_no_exaggeration(run):
    paths = {"survey": run.survey, "model": run.model, "catalogue": run.catalogue}
    content = run.job.model_dump(mode="json", exclude_unset=True) | {
        name: {"path": str(path)} for name, path in paths.items()
    }
    job = make_job(content | {"labels": {"path": str(run.labels), "scale": "true"}}, "test")
    needed = disk._needed(Subject(job.cluster, job))
    for name in ("model", "catalogue"):
        written = size(paths[name])
        assert written < needed[name] < 20 * written
    made = make_job(content | {"simulate": {"stars": 300}}, "test")
    assert size(run.survey) < disk._needed(Subject(made.cluster, made))["survey"]


def test_a_disk_with_room_is_well(tmp_path):
    (found,) = room(subject(tmp_path / "not/there/yet", 300))
    assert found.state == "ok"
    assert found.text.startswith(f"{tmp_path}: ")
    assert "survey, catalogue take about" in found.text


def test_a_disk_that_is_too_small_fails(tmp_path):
    (found,) = room(subject(tmp_path, 10**12))
    assert found.state == "fails"
    assert "free some space, or name folders on a larger disk" in found.text


def test_a_disk_that_would_be_nearly_full_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "_AMPLE", 10.0**12)
    (found,) = room(subject(tmp_path, 300))
    assert found.state == "warning"


def test_without_a_job_nothing_is_said():
    assert list(room(Subject(make_job({}, "test").cluster))) == []
