"""The commands as a user types them, most of all with mistakes."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from rrl_batch.cli import main
from rrl_batch.storage.manifest import Manifest


def fails(capsys, *words, code=2):
    """Run a command that is to fail, and return its one sentence."""
    assert main([str(w) for w in words]) == code
    sentence = capsys.readouterr().err
    assert sentence.startswith("rrl-batch: ")
    assert sentence.count("\n") == 1
    assert "Traceback" not in sentence
    return sentence


def job_file(tmp_path: Path, text: str = "") -> Path:
    path = tmp_path / "job.toml"
    path.write_text(text)
    return path


def test_a_missing_file_is_named(capsys, tmp_path):
    stars = tmp_path / "stars.csv"
    stars.write_text("source_id,ra,dec,best_classification,period\n1,10,10,RRab,0.5\n")
    missing = tmp_path / "nothing.parquet"
    out = tmp_path / "survey"
    sentence = fails(capsys, "ingest", "files", missing, "--stars", stars, "--out", out)
    assert f"There is no file {missing}" in sentence


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["predict", "--model", "NO", "--survey", "NO", "--out", "o"], "There is no survey at NO"),
        (["verify", "NO"], "NO holds no dataset: there is no manifest.json."),
        (["evaluate", "--catalogue", "NO", "--labels", "L", "--out", "E"], "NO holds no dataset"),
        (["export", "NO", "c.fits"], "NO holds no dataset"),
        (
            ["report", "NO"],
            "There is no folder NO; give that of an experiment, a catalogue or a survey.",
        ),
        (["run", "NO.toml"], "The job file NO.toml cannot be read: No such file or directory."),
        (["cancel", "sky-1"], "There is no job 'sky-1' in rrl-jobs; there is none at all: is it"),
        (["simulate", "OUT", "--stars", "0"], "'simulate.stars' = 0 is not valid"),
    ],
)
def test_mistakes_that_need_no_cluster_are_one_sentence(
    capsys, tmp_path, monkeypatch, words, expected
):
    monkeypatch.chdir(tmp_path)
    assert expected in fails(capsys, *words)


def test_a_job_is_submitted_to_a_cluster_that_runs_already(capsys, tmp_path):
    sections = ("survey", "labels", "model", "catalogue", "evaluation")
    job = job_file(tmp_path, "[simulate]\nstars = 5\n[labels]\nscale = 'true'\n")
    settings = [f"--set={section}.path={tmp_path / section}" for section in sections]
    sentence = fails(capsys, "submit", job, *settings, "--jobs", tmp_path / "jobs")
    assert "cluster that runs already; give its --scheduler ADDRESS" in sentence
    assert not (tmp_path / "jobs").exists()


def test_a_job_without_a_needed_path_says_which(capsys, tmp_path):
    sentence = fails(capsys, "train", job_file(tmp_path), "--set", "survey.path=s")
    assert "The job names no labels.path" in sentence


def test_an_unknown_architecture_is_refused_before_anything_runs(capsys, tmp_path):
    job = job_file(tmp_path, "[model]\narchitecture = 'grv'\n")
    settings = [f"--set={section}.path=x" for section in ("survey", "labels", "model")]
    assert "did you mean 'gru'?" in fails(capsys, "train", job, *settings)


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("{'model.architecture' = 'grv'}", "no architecture 'grv'; did you mean 'gru'?"),
        (
            "{'model.architecture' = 'gp', 'model.dropout' = 0.1}",
            "The architecture 'gp' has no dropout; remove model.dropout, or choose from",
        ),
        ("{'model.width' = 3}", "case 'a': unknown key 'model.width'"),
    ],
)
def test_a_faulty_case_is_refused_before_anything_runs(capsys, tmp_path, case, sentence):
    job = job_file(tmp_path, f"[experiment.cases]\na = {case}\n")
    settings = [f"--set={section}.path=x" for section in ("survey", "labels", "experiment")]
    assert sentence in fails(capsys, "run", job, *settings)


def test_an_experiment_and_a_search_need_a_folder(capsys, tmp_path):
    settings = [f"--set={section}.path=x" for section in ("survey", "labels")]
    for text, section in (("[experiment]\ncases = {a = {}}\n", "experiment"),
                          ("[search]\nspace = {'model.dropout' = [0.1]}\n", "search")):  # fmt: skip
        sentence = fails(capsys, "run", job_file(tmp_path, text), *settings)
        assert f"The job names no {section}.path" in sentence


@pytest.fixture
def no_cluster(monkeypatch):
    """Fail a test in which a cluster starts."""
    for name in ("cluster.connect.connect", "driver.drive"):
        monkeypatch.setattr(f"rrl_batch.{name}", lambda *_: pytest.fail("a cluster starts"))


@pytest.mark.usefixtures("no_cluster")
@pytest.mark.parametrize("command", ["run", "train"])
@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ("survey.path=nowhere", "There is no survey at nowhere"),
        ("labels.path=nowhere.csv", "nowhere.csv"),
        ("labels.scale=tru", "has no labels on the scale 'tru'; did you mean 'true'?"),
        ("labels.fold=part", "'part'"),
        ("training.of.gp.epochs=3", "training.epochs does not change a 'gp'"),
        ("model.beside=grv", "no architecture 'grv'; did you mean 'gru'?"),
    ],
)
def test_what_is_wrong_with_a_job_is_said_before_a_cluster_starts(
    capsys, run, tmp_path, monkeypatch, command, changed, sentence
):
    monkeypatch.chdir(tmp_path)
    settings = [f"survey.path={run.survey}", f"labels.path={run.labels}", "labels.scale=true"]
    settings += [f"{section}.path=o" for section in ("model", "catalogue", "evaluation")]
    words = [f"--set={setting}" for setting in (*settings, changed)]
    assert sentence in fails(capsys, command, job_file(tmp_path), *words)


@pytest.mark.usefixtures("no_cluster")
def test_simulated_labels_need_a_scale_before_anything_is_simulated(capsys, tmp_path):
    job = job_file(tmp_path, "[simulate]\nstars = 10\n")
    sections = ("survey", "labels", "model", "catalogue", "evaluation")
    settings = [f"--set={section}.path={tmp_path / section}" for section in sections]
    sentence = "two scales; set labels.scale to 'true' or 'photometric'."
    assert sentence in fails(capsys, "run", job, *settings)


def test_an_unexpected_failure_is_a_sentence_too(capsys, monkeypatch, tmp_path):
    def fail(_):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("rrl_batch.run.verify", fail)
    sentence = fails(capsys, "verify", tmp_path, code=1)
    assert "failed (ZeroDivisionError: by zero); --traceback shows where." in sentence
    with pytest.raises(ZeroDivisionError):
        main(["--traceback", "verify", str(tmp_path)])


@pytest.mark.usefixtures("no_cluster")
@pytest.mark.parametrize("name", ["out_of_fold.parquet", "gru_0_1.*.weights.h5"])
def test_a_model_without_one_of_its_files_is_refused_before_a_cluster_starts(
    capsys, run, tmp_path, name
):
    model = shutil.copytree(run.model, tmp_path / "model")
    (file,) = model.glob(name)
    file.unlink()
    words = ["--model", model, "--survey", run.survey, "--out", tmp_path / "catalogue"]
    sentence = fails(capsys, "predict", *words)
    assert f"{file.name} is missing or not what" in sentence
    assert "train again" in sentence


def test_verify_evaluate_and_export_on_a_catalogue(capsys, run, tmp_path):
    assert main(["verify", str(run.catalogue)]) == 0
    assert "300 rows" in capsys.readouterr().out
    words = ["--catalogue", str(run.catalogue), "--labels", str(run.labels), "--scale", "true"]
    assert main(["evaluate", *words, "--out", str(tmp_path / "evaluation")]) == 0
    metrics = json.loads((tmp_path / "evaluation/metrics.json").read_text())
    assert metrics["network"]["n"] == metrics["baseline"]["n"] > 100
    assert metrics["synthetic"] is True
    assert main(["export", str(run.catalogue), str(tmp_path / "c.csv")]) == 0
    assert len(pd.read_csv(tmp_path / "c.csv")) == 300


def test_an_evaluation_does_not_write_among_other_files(capsys, run):
    words = ["--catalogue", run.catalogue, "--labels", run.labels, "--scale", "true"]
    sentence = fails(capsys, "evaluate", *words, "--out", run.catalogue)
    assert "already holds something else" in sentence


def test_a_damaged_catalogue_fails_verification(capsys, run, tmp_path):
    out = tmp_path / "catalogue"
    shutil.copytree(run.catalogue, out)
    victim = next((out / "dataset").rglob("Npix=*.parquet"))
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    assert main(["verify", str(out)]) == 1
    printed = capsys.readouterr()
    assert "has changed since it was written" in printed.out


@pytest.mark.long
def test_the_whole_line_on_real_stars(client, shared_data, tmp_path):
    """The README's commands in a process of their own: 3,463 stars in, 3,463 rows out."""

    def rrl_batch(*words):
        command = [sys.executable, "-m", "rrl_batch", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    # all but training on the cluster that runs already
    cluster = ["--scheduler", client.scheduler.address]
    gaia, dekany = shared_data / "gaia_dr3", shared_data / "dekany2022"
    for photometry, stars, out in (
        (gaia / "epoch_photometry.parquet", gaia / "stars.parquet", "gaia"),
        (dekany / "photometry.parquet", dekany / "stars.parquet", "dekany"),
    ):
        rrl_batch("ingest", "files", photometry, "--stars", stars, "--out", out, *cluster)
    settings = ["survey.path=dekany", f"labels.path={dekany / 'labels.parquet'}"]
    settings += ["labels.scale=dekany2022", "model.path=model"]
    # fewer, shorter fits than the job file's: this test is about the line, not its figures
    settings += ["training.folds=2", "training.epochs=2", "preprocess.points=16"]
    settings.append("training.fraction=0.1")
    settings.append("training.of.gru.epochs=2")
    settings.append("cluster.workers=1")
    job = Path(__file__).parents[1] / "jobs/real.toml"
    printed = rrl_batch("train", job, *(f"--set={s}" for s in settings))
    assert re.search(r"dashboard +http://127\.0\.0\.1:\d+/status", printed)
    rrl_batch("predict", "--model", "model", "--survey", "gaia", "--out", "catalogue", *cluster)
    assert "3,463 rows" in rrl_batch("verify", "catalogue")
    labels = gaia / "labels.parquet"
    rrl_batch("evaluate", "--catalogue", "catalogue", "--labels", labels,
              "--scale", "dekany2022", "--out", "evaluation")  # fmt: skip
    metrics = json.loads((tmp_path / "evaluation/metrics.json").read_text())
    assert metrics["network"]["n"] == metrics["baseline"]["n"] > 100
    assert Manifest.read(tmp_path / "catalogue").rows == 3463
