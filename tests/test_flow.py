"""The pipeline on a real cluster of processes: every star comes out, once, with its reasons."""

import json
import shutil
import subprocess

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hats.io.validation import is_valid_catalog

from rrl_batch import flow
from rrl_batch.catalogue.verify import read_catalogue, verify
from rrl_batch.cluster.connect import connect
from rrl_batch.contracts import CATALOGUE, Flag
from rrl_batch.contracts.flags import NO_METALLICITY
from rrl_batch.errors import RunError, UserError
from rrl_batch.job import ClusterSection
from rrl_batch.models.folder import CARD, OUT_OF_FOLD, ModelCard, save_weights
from rrl_batch.models.registry import build
from rrl_batch.sources.tables import read_labels
from rrl_batch.storage.commit import checksum
from rrl_batch.storage.manifest import MANIFEST, Manifest
from rrl_batch.survey.read import open_survey
from rrl_batch.training.selection import HAS_CURVE


@pytest.fixture(scope="module")
def stars(run):
    return read_catalogue(run.catalogue)


def files(root):
    return {p: checksum(p) for p in sorted((root / "dataset").rglob("Npix=*.parquet"))}


def test_every_star_of_the_survey_has_one_row(run, stars):
    survey = pd.concat([b.stars for p in open_survey(run.survey).partitions for b in p.batches()])
    assert stars["source_id"].is_unique
    assert set(stars["source_id"]) == set(survey["source_id"])
    assert list(stars.columns) == CATALOGUE.names
    assert verify(run.catalogue).faults == []


def test_a_missing_metallicity_has_a_flag_that_says_why(stars):
    said_why = (stars["flags"] & int(NO_METALLICITY)) != 0
    assert (stars["feh"].isna() == said_why).all()
    other_mode = (stars["flags"] & int(Flag.OTHER_MODE)) != 0
    assert (other_mode == (stars["best_classification"] != "RRab")).all()
    assert stars["feh"].notna().sum() > 100


def test_the_interval_is_the_total_error_about_the_value(stars):
    known = stars.dropna(subset="feh")
    assert np.allclose(known["feh_hi"] - known["feh"], known["feh_error"], atol=1e-5)
    assert np.allclose(known["feh"] - known["feh_lo"], known["feh_error"], atol=1e-5)
    assert (known["feh_hi95"] > known["feh_hi"]).all()
    assert (known["feh_lo95"] < known["feh_lo"]).all()


def test_what_was_measured_on_the_curve_is_in_the_catalogue(run, stars):
    batches = [b for p in open_survey(run.survey).partitions for b in p.batches()]
    drawn = pd.concat([b.stars for b in batches]).set_index("source_id").loc[stars["source_id"]]
    measured = stars[["int_average_g", "amplitude_g", "phi31_g", "phi31_g_error"]]
    without = Flag.TOO_FEW_EPOCHS | Flag.NO_PERIOD | Flag.SMOOTHING_FAILED
    no_curve = (stars["flags"] & int(without)) != 0
    assert measured[no_curve].isna().all(axis=None)
    assert measured.loc[~no_curve, ["int_average_g", "amplitude_g"]].notna().all(axis=None)
    assert ((stars["phase_gap"] > 0.2) == ((stars["flags"] & int(Flag.PHASE_GAP)) != 0)).all()
    good = ((stars["num_epochs_used"] >= 30) & (stars["phase_gap"] < 0.1)).to_numpy()
    assert good.sum() > 50
    # the star table has the mean and the amplitude of the curve before it was observed
    for name, of_curve, tolerance in [
        ("int_average_g", "int_average_g", 0.03),
        ("amplitude_g", "peak_to_peak_g", 0.1),
    ]:
        difference = stars[name].to_numpy() - drawn[of_curve].to_numpy()
        assert np.median(np.abs(difference[good])) < tolerance


def test_a_training_star_gets_the_member_that_never_saw_it(stars, run):
    held_out = pd.read_parquet(run.model / OUT_OF_FOLD).set_index("source_id")
    trained_on = stars[stars["source_id"].isin(held_out.index)].set_index("source_id")
    expected = held_out.loc[trained_on.index]
    assert len(trained_on) == len(held_out) > 50
    assert np.allclose(trained_on["feh"], expected["predicted"], atol=1e-4)
    assert np.allclose(trained_on["feh_baseline"], expected["baseline"], atol=1e-4)
    assert np.allclose(trained_on["feh_model_error"], expected["spread"], atol=1e-4)
    assert np.allclose(trained_on["feh_noise_error"], expected["noise_error"], atol=1e-4)
    assert np.allclose(trained_on["feh_error"], expected["half_68"], atol=1e-4)
    assert not np.allclose(trained_on["feh"], trained_on["feh_gru"], atol=1e-4)
    others = stars[~stars["source_id"].isin(held_out.index)].dropna(subset="feh")
    assert np.allclose(others["feh"], others["feh_gru"], atol=1e-6)


def test_what_is_simulated_says_so(run):
    assert open_survey(run.survey).synthetic
    assert ModelCard.read(run.model).synthetic
    manifest = Manifest.read(run.catalogue)
    assert manifest.provenance["synthetic"] is True
    assert b"SYNTHETIC" in pq.read_schema(run.labels).metadata[b"description"]
    for root in (run.survey, run.catalogue):
        assert "SYNTHETIC" in (root / "hats.properties").read_text()
        for file in files(root):
            assert b"SYNTHETIC" in pq.read_schema(file).metadata[b"description"]


def test_the_card_tells_what_became_of_every_label(run):
    card = ModelCard.read(run.model)
    counts = card.stars
    assert counts.labels == len(read_labels(run.labels, "true")) == 300
    assert counts.not_in_survey == 0
    assert (
        counts.trained_on
        == card.metrics["network"]["n"]
        == len(pd.read_parquet(run.model / OUT_OF_FOLD))
    )
    assert [c.cut for c in counts.cuts] == [
        "RRab", HAS_CURVE, "num_epochs_used >= 12", "amplitude <= 1.4", "phi31_error <= 1.0",
    ]  # fmt: skip
    assert counts.labels == counts.trained_on + sum(c.removed for c in counts.cuts)
    assert all(c.removed <= c.alone for c in counts.cuts)
    assert counts.cuts[0].removed > 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # LSDB uses pandas options of old
def test_lsdb_opens_survey_and_catalogue(run, stars):
    import lsdb

    catalogue = lsdb.open_catalog(run.catalogue).compute()
    assert set(catalogue["source_id"]) == set(stars["source_id"])
    assert catalogue.index.is_monotonic_increasing
    assert len(lsdb.open_catalog(run.survey).compute()) == len(stars)


def test_the_same_run_again_changes_nothing(client, run):
    before = files(run.catalogue)
    flow.predict(client, open_survey(run.survey), run.model, run.catalogue)
    labels = read_labels(run.labels, "true")
    card = flow.train(client, open_survey(run.survey), labels, run.model, run.job)
    assert files(run.catalogue) == before
    assert card == ModelCard.read(run.model)


def test_an_unfinished_run_goes_on_and_gives_the_same_files(client, run, tmp_path):
    """As after a crash: no manifest, one partition gone, another with its old receipt."""
    out = tmp_path / "catalogue"
    shutil.copytree(run.catalogue, out)
    (out / MANIFEST).unlink()
    lost, *kept = files(out)
    lost.unlink()
    for stray in ("_Npix=7.parquet.123.partial", "Npix=77.parquet"):  # of a run that was killed
        (lost.parent / stray).write_bytes(b"PAR1 torn")
    times = {file: file.stat().st_mtime_ns for file in kept}
    flow.predict(client, open_survey(run.survey), run.model, out)
    assert verify(out).faults == []
    assert [checksum(f) for f in files(out)] == [checksum(f) for f in files(run.catalogue)]
    assert {file: file.stat().st_mtime_ns for file in kept} == times
    assert is_valid_catalog(out, strict=True)


def test_an_unfinished_run_is_done_anew_where_the_survey_has_changed(client, run, tmp_path, caplog):
    names = dict(enumerate("abc"))
    pieces = [piece.files[0][0] for piece in open_survey(run.survey).partitions[: len(names)]]
    for folder in ("survey", "changed"):
        (tmp_path / folder).mkdir()
        for number, piece in enumerate(pieces):
            rows = pq.read_table(piece).to_pandas()
            if folder == "changed" and number == 1:
                rows.loc[0, "period"] *= 1.01
            rows.to_parquet(tmp_path / folder / f"{names[number]}.parquet")
    out = tmp_path / "catalogue"
    flow.predict(client, open_survey(tmp_path / "survey"), run.model, out)
    (out / MANIFEST).unlink()
    before = files(out)
    times = {checksum_: file.stat().st_mtime_ns for file, checksum_ in before.items()}
    flow.predict(client, open_survey(tmp_path / "changed"), run.model, out)
    told = [m for m in caplog.messages if "has not finished, differs in" in m]
    assert len(told) == 1
    assert told[0].endswith("differs in survey; 1 of 3 partitions are done anew.")
    now = {checksum_: file.stat().st_mtime_ns for file, checksum_ in files(out).items()}
    assert len(set(times.items()) & set(now.items())) == 2
    flow.predict(client, open_survey(tmp_path / "changed"), run.model, tmp_path / "undisturbed")
    assert sorted(files(tmp_path / "undisturbed").values()) == sorted(now)
    assert verify(out).faults == []


def test_an_unfinished_run_of_another_model_is_done_anew(client, run, tmp_path, caplog):
    out, other = tmp_path / "catalogue", tmp_path / "model"
    shutil.copytree(run.catalogue, out)
    (out / MANIFEST).unlink()
    shutil.copytree(run.model, other)
    card = json.loads((other / CARD).read_text())
    (other / CARD).write_text(json.dumps(card | {"scale": "another"}))
    survey = open_survey(run.survey)
    flow.predict(client, survey, other, out)
    n = len(survey.partitions)
    assert f"differs in model; {n} of {n} partitions are done anew." in caplog.text
    flow.predict(client, survey, other, tmp_path / "undisturbed")
    assert sorted(files(out).values()) == sorted(files(tmp_path / "undisturbed").values())
    assert verify(out).faults == []


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk that has 128 KiB, and how to make the disk larger."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def command(*words):
        return subprocess.run([*words, str(disk)], capture_output=True, check=False).returncode

    try:
        mounted = command("mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs") == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a small disk cannot be mounted here: that needs the rights of root")
    yield disk, lambda: command("mount", "-o", "remount,size=64m")
    command("umount", "--lazy")


def test_a_full_disk_leaves_what_is_finished_and_the_run_goes_on(client, run, small_disk):
    disk, enlarge = small_disk
    out = disk / "catalogue"
    with pytest.raises(RunError, match=r"could not be written: the disk is full; free some space"):
        flow.predict(client, open_survey(run.survey), run.model, out)
    receipts = [json.loads(r.read_text()) for r in (out / "receipts").glob("*.json")]
    assert 0 < len(receipts) < len(files(run.catalogue))
    assert all(checksum(out / r["path"]) == r["sha256"] for r in receipts)
    times = {r["path"]: (out / r["path"]).stat().st_mtime_ns for r in receipts}

    enlarge()
    flow.predict(client, open_survey(run.survey), run.model, out)
    assert verify(out).faults == []
    assert [checksum(f) for f in files(out)] == [checksum(f) for f in files(run.catalogue)]
    assert {path: (out / path).stat().st_mtime_ns for path in times} == times


def test_a_seed_makes_a_survey_repeatable(client, run, tmp_path):
    flow.simulate(client, 300, 7, tmp_path / "survey", tmp_path / "labels.parquet")
    assert list(files(tmp_path / "survey").values()) == list(files(run.survey).values())


def test_weights_on_a_full_disk_are_a_sentence_and_leave_nothing(small_disk):
    disk, _ = small_disk
    (disk / "other").write_bytes(bytes(120 * 1024))
    network = build("gru", 16, masked=False)
    with pytest.raises(RunError, match=r"member_0\.weights\.h5 could not be .* the disk is full"):
        save_weights(network, disk / "member_0.weights.h5")
    assert [path.name for path in disk.iterdir()] == ["other"]


@pytest.mark.long
def test_members_that_jax_trains_serve_as_well(run, tmp_path, monkeypatch):
    pytest.importorskip("jax", reason="the extra jax is not installed")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")  # compiles faster
    survey, labels = open_survey(run.survey), read_labels(run.labels, "true")
    with connect(ClusterSection(workers=1, dashboard_address="127.0.0.1:0")) as client:
        card = flow.train(client, survey, labels, tmp_path / "model", run.job)
        flow.predict(client, survey, tmp_path / "model", tmp_path / "catalogue")
    assert [member.fold for member in card.members] == [0, 1]
    # after three passes, both are as good as the mean label
    ours, others = (c.metrics["network"]["rmse"] for c in (card, ModelCard.read(run.model)))
    assert ours == pytest.approx(others, rel=0.2)
    held_out = pd.read_parquet(tmp_path / "model" / OUT_OF_FOLD).set_index("source_id")
    rows = read_catalogue(tmp_path / "catalogue").set_index("source_id").loc[held_out.index]
    assert np.allclose(rows["feh"], held_out["predicted"], atol=1e-4)


def test_a_folder_of_another_job_is_refused(client, run, tmp_path):
    shutil.copytree(run.catalogue, tmp_path / "catalogue")
    other = tmp_path / "model"
    shutil.copytree(run.model, other)
    card = json.loads((other / CARD).read_text())
    (other / CARD).write_text(json.dumps(card | {"scale": "another"}))
    with pytest.raises(UserError, match=r"a finished catalogue of another job .*: model"):
        flow.predict(client, open_survey(run.survey), other, tmp_path / "catalogue")
    assert verify(tmp_path / "catalogue").faults == []


def test_labels_of_no_star_are_refused(client, run, tmp_path):
    labels = read_labels(run.labels, "true").assign(source_id=lambda t: t["source_id"] + 1)
    with pytest.raises(UserError, match=r"None of the 300 labels is of a star in the survey"):
        flow.train(client, open_survey(run.survey), labels, tmp_path / "model", run.job)


def test_too_few_labelled_stars_are_refused_and_the_mistake_can_be_mended(client, run, tmp_path):
    """The model is then the one that the same seed gives without the mistake."""
    survey, labels = open_survey(run.survey), read_labels(run.labels, "true")
    kind = run.job.model.model_copy(update={"architecture": ("mlp",)})
    job = run.job.model_copy(update={"model": kind})
    with pytest.raises(UserError, match=r"too few for 2 folds.*RRab left out"):
        flow.train(client, survey, labels.head(6), tmp_path / "model", job)
    card, other = (flow.train(client, survey, labels, tmp_path / m, job) for m in ("model", "b"))
    assert card.metrics == other.metrics
    again, first = (pd.read_parquet(tmp_path / m / OUT_OF_FOLD) for m in ("model", "b"))
    assert np.allclose(again["predicted"], first["predicted"], atol=1e-5)


def test_any_folder_of_parquet_files_is_a_survey(client, run, tmp_path, stars):
    """Rows in another order, in files that have nothing to do with the sky."""
    tables = [b.to_arrow() for p in open_survey(run.survey).partitions for b in p.batches()]
    everything = pd.concat([t.to_pandas() for t in tables]).sample(frac=1, random_state=1)
    folder = tmp_path / "foreign"
    folder.mkdir()
    for number, piece in enumerate(np.array_split(np.arange(len(everything)), 3)):
        everything.iloc[piece].to_parquet(folder / f"{number}.parquet", row_group_size=40)
    out = tmp_path / "catalogue"
    flow.predict(client, open_survey(folder), run.model, out)
    assert verify(out).faults == []
    pd.testing.assert_frame_equal(read_catalogue(out), stars)


def test_labels_that_are_all_alike_are_refused(client, run, tmp_path):
    labels = read_labels(run.labels, "true").assign(feh=-1.5)
    with pytest.raises(UserError, match=r"have the same label, -1\.5 dex"):
        flow.train(client, open_survey(run.survey), labels, tmp_path / "model", run.job)


@pytest.mark.parametrize("damage", [lambda f: f.unlink(), lambda f: f.write_bytes(b"PAR1")])
def test_a_finished_catalogue_that_has_lost_a_file_is_mended(client, run, tmp_path, damage):
    out = tmp_path / "catalogue"
    shutil.copytree(run.catalogue, out)
    damage(next(iter(files(out))))
    assert verify(out).faults != []
    flow.predict(client, open_survey(run.survey), run.model, out)
    assert verify(out).faults == []
    assert [checksum(f) for f in files(out)] == [checksum(f) for f in files(run.catalogue)]


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda root: shutil.copy(next(iter(files(root))),
                                  root / "dataset/Norder=0/Dir=0/Npix=99.parquet"),
         "Npix=99.parquet does not belong to the catalogue"),
        (lambda root: (root / "dataset/_metadata").unlink(), "_metadata is missing"),
        (lambda root: [(root / name).unlink() for name in ("hats.properties", "properties")],
         "HATS layout are missing or damaged"),
    ],
)  # fmt: skip
def test_what_other_readers_would_stumble_over_fails_verification(run, tmp_path, spoil, fault):
    out = tmp_path / "catalogue"
    shutil.copytree(run.catalogue, out)
    spoil(out)
    assert any(fault in sentence for sentence in verify(out).faults)
