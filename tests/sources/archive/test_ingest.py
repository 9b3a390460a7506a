"""Surveys from an archive that misbehaves: whole, each star once, whatever happens on the way."""

import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gaia_archive import FAULTS, StandIn, impatient, sample, serving

from rrl_batch import flow
from rrl_batch.cli import main
from rrl_batch.errors import RunError, UserError
from rrl_batch.sources.archive.release import Release, StarChoice
from rrl_batch.storage.manifest import Manifest

N_STARS, N_ABSENT = 20_000, 25


def rows_of(survey: Path) -> pa.Table:
    paths = [survey / receipt.path for receipt in Manifest.read(survey).partitions]
    return pa.concat_tables([pq.read_table(path) for path in paths])


def assert_is_the_archive(survey: Path, archive: StandIn) -> None:
    """Each star once, with the light curve that the archive has of it, or none."""
    table = rows_of(survey)
    ids = table["source_id"].to_pylist()
    assert sorted(ids) == sorted(archive.stars["source_id"])
    times, mags = (table[f"g_transit_{what}"].to_pylist() for what in ("time", "mag"))
    for star, time_, mag in zip(ids, times, mags, strict=True):
        curve = archive.curves.get(star)
        if curve is None:
            assert time_ == []
            continue
        good = ~(np.isnan(curve["mag"]) | curve["reject"])
        order = np.argsort(curve["time"][good])
        assert time_ == curve["time"][good][order].tolist()
        np.testing.assert_array_equal(mag, curve["mag"][good][order].astype(np.float32))


@pytest.fixture(scope="module")
def archive() -> Iterator[StandIn]:
    stars, curves = sample(N_STARS)
    # those that the archive does not have are close together, so that few answers lack any
    absent = sorted(curves)[:N_ABSENT]
    stars.loc[stars["source_id"].isin(absent[:5]), "has_epoch_photometry"] = False
    for star in absent:
        del curves[star]
    with serving(StandIn(stars, curves)) as archive:
        yield archive


@pytest.mark.long
def test_twenty_thousand_stars_arrive_in_spite_of_every_fault_and_of_sigkill(
    archive, client, tmp_path
):
    archive.faults = deque(FAULTS)
    archive.tap_faults = {
        "submit": ["502"], "phase": ["page", "500"], "result": ["reset", "truncated"],
    }  # fmt: skip
    settings = impatient(tmp_path / "release.toml", stars_per_call=4000, calls_at_once=3)
    killed = tmp_path / "killed"
    command = [
        sys.executable, "-m", "rrl_batch", "ingest", "gaia", "--out", str(killed),
        "--release", str(settings), "--archive", archive.url, "--workers", "2",
    ]  # fmt: skip
    rng = np.random.default_rng()
    for calls in (0, 2, 6):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as run:
            while len(archive.calls) < calls or not archive.jobs:
                assert run.poll() is None, run.stderr.read().decode()
                time.sleep(0.05)
            time.sleep(rng.uniform(0, 3))
            run.send_signal(signal.SIGKILL)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not archive.faults
    # a run that is killed before it knows the job begins another; later ones wait for that
    assert 1 <= len(archive.jobs) <= 2
    assert_is_the_archive(killed, archive)
    assert "without a light curve: 20 " in done.stdout
    absent = Manifest.read(killed).provenance["absent_stars"]
    assert sorted(map(len, absent.values())) == [5, N_ABSENT - 5]
    assert {star for stars in absent.values() for star in stars}.isdisjoint(archive.curves)

    # nobody disturbs this one
    archive.calls.clear()
    release = Release.read(str(settings), archive.url)
    flow.ingest_gaia(client, tmp_path / "calm", release, StarChoice())
    assert Manifest.read(tmp_path / "calm") == Manifest.read(killed)
    asked = [star for call in archive.calls for star in call.ids]
    # what has come was not asked for again, and what is absent twice
    assert len(asked) - len(set(asked)) == 2 * N_ABSENT


def test_a_run_that_the_archive_has_failed_asks_for_the_rest_only(
    client, tmp_path, small, release_of
):
    with serving(small()) as archive:
        release = release_of(archive, attempts=2)
        archive.faults = deque(["short", "503", "503"])
        with pytest.raises(RunError, match=r"has failed \(Error 503.*2 attempts .* has arrived"):
            flow.ingest_gaia(client, tmp_path / "survey", release, StarChoice())
        had = {s for call in archive.calls if call.fault == "short" for s in call.ids[-36:]}
        before = len(archive.calls)
        flow.ingest_gaia(client, tmp_path / "survey", release, StarChoice())
        later = [star for call in archive.calls[before:] for star in call.ids]
        assert len(later) == len(set(later))
        assert had.isdisjoint(later)
        assert_is_the_archive(tmp_path / "survey", archive)
        assert not (tmp_path / "survey" / "staging").exists()


def test_no_more_calls_at_once_than_are_allowed(client, tmp_path, small, release_of):
    with serving(small(slow_seconds=0.3)) as archive:
        release = release_of(archive, stars_per_call=15, calls_at_once=1)
        flow.ingest_gaia(client, tmp_path / "survey", release, StarChoice())
        assert len(archive.calls) == 4
        assert archive.most_at_once == 1


def test_condition_and_limit_are_the_archives(client, tmp_path, small, capsys):
    with serving(small()) as archive:
        settings = str(impatient(tmp_path / "release.toml"))
        scheduler = ["--scheduler", client.scheduler.address]
        where = "num_clean_epochs_g >= 7 AND best_classification = 'RRab'"
        command = ["ingest", "gaia", "--release", settings, "--archive", archive.url, *scheduler]
        out = tmp_path / "survey"
        assert main([*command, "--out", str(out), "--where", where, "--limit", "5"]) == 0
        stars = archive.stars.query("num_clean_epochs_g >= 7 and best_classification == 'RRab'")
        expected = stars.sort_values("random_index")["source_id"].head(5)
        assert sorted(rows_of(out)["source_id"].to_pylist()) == sorted(expected)
        assert main([*command, "--out", str(tmp_path / "x"), "--where", "colour > 'red'"]) == 2
        said = capsys.readouterr().err
        assert f"The archive at {archive.url} refuses what is asked of it" in said
        assert "no such column: colour." in said
        # and leaves nothing that another command would find
        assert not (tmp_path / "x").exists()
        # the table of stars is what `ingest bulk` takes
        columns = pq.read_schema(out / "stars.parquet").names
        assert {"parallax", "pmra", "g_absorption", "ruwe", "random_index"} - set(columns) == {
            "random_index"
        }


def test_stars_without_a_light_curve_are_told_once(client, tmp_path, small, capsys):
    with serving(small()) as archive:
        lost = sorted(archive.curves)[:3]
        for star in lost:
            del archive.curves[star]
        settings = str(impatient(tmp_path / "release.toml"))
        scheduler = ["--scheduler", client.scheduler.address]
        command = ["ingest", "gaia", "--release", settings, "--archive", archive.url, *scheduler]
        assert main([*command, "--out", str(tmp_path / "survey")]) == 0
        said = capsys.readouterr().out
        assert f"without a light curve: 3 (the first: {lost[0]})" in said
        assert "no transits" not in said


def test_an_archive_that_cannot_be_reached_is_said_in_a_sentence(
    client, tmp_path, small, release_of
):
    with serving(small()) as archive:
        release = release_of(archive)
    with pytest.raises(RunError, match=r"archive at http://127.*refused\); 3 attempts") as raised:
        flow.ingest_gaia(client, tmp_path / "survey", release, StarChoice())
    # it is no maintenance that is over some time
    assert "Check the network and the address (--archive)" in str(raised.value)
    assert "later" not in str(raised.value)


def test_maintenance_is_said_in_the_archives_words(client, tmp_path, small, release_of):
    with serving(small()) as archive:
        release = release_of(archive, attempts=1)
        archive.tap_faults = {"submit": ["page"]}
        with pytest.raises(RunError, match="Archive down for maintenance") as raised:
            flow.ingest_gaia(client, tmp_path / "survey", release, StarChoice())
        assert "<" not in str(raised.value)


def test_another_query_does_not_mix_with_what_is_there(client, tmp_path, small, release_of):
    with serving(small()) as archive:
        release = release_of(archive)
        flow.ingest_gaia(client, tmp_path / "survey", release, StarChoice(limit=5))
        with pytest.raises(UserError, match=r"finished survey of another job \(.*query"):
            flow.ingest_gaia(client, tmp_path / "survey", release, StarChoice(limit=6))
