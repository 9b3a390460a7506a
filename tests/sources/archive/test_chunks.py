"""Light curves of a chunk of stars: each is there, absent or unreadable, and asked for once."""

import subprocess
import sys
import zipfile
from collections import deque

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pytest
from gaia_archive import serving

from rrl_batch.errors import RunError, UserError
from rrl_batch.sources.archive.call import Archive, FailedCallError
from rrl_batch.sources.archive.chunks import stage_chunk
from rrl_batch.sources.archive.products import read_products
from rrl_batch.sources.archive.release import DEFAULT, Release
from rrl_batch.sources.staging import Staging
from rrl_batch.storage.sky import Partition, Pixel


@pytest.fixture
def staged(tmp_path):
    """Stage all stars of a stand-in as one chunk of one partition."""

    def stage(stand_in, archive, folder="s"):
        stars = pd.DataFrame({"source_id": np.sort(stand_in.stars["source_id"])})
        staging = Staging(tmp_path / folder, 1)
        staging.begin(stars, [Partition(Pixel(0, 0), 0, len(stars))])
        chunk = stage_chunk(0, archive, staging, "mark", lambda _: None)
        transits = pd.read_parquet(staging.transits / "partition=0")
        return chunk, transits.sort_values(["source_id", "time", "mag"], ignore_index=True)

    return stage


def test_both_structures_give_the_same_transits(small, archive_of, staged):
    with serving(small()) as stand_in:
        archive = archive_of(stand_in)
        raw, transits = staged(stand_in, archive)
        curves = archive.release.light_curves.model_copy(update={"structures": ["INDIVIDUAL"]})
        release = archive.release.model_copy(update={"light_curves": curves})
        one, others = staged(stand_in, Archive(release, None), "t")
    pd.testing.assert_frame_equal(transits, others)
    assert raw.counts.kept == one.counts.kept == len(transits) > 0
    assert raw.counts.rejected_by_photometry == one.counts.rejected_by_photometry > 0
    assert one.counts.other_bands > raw.counts.other_bands == 0


def test_the_new_name_of_the_structure_is_asked_for_where_the_old_one_is_refused(
    small, archive_of, staged
):
    with serving(small(structures=("DATAMODEL_GAIA",))) as stand_in:
        chunk, _ = staged(stand_in, archive_of(stand_in))
        assert chunk.absent == ()
        assert [call.form["DATA_STRUCTURE"] for call in stand_in.calls] == ["DATAMODEL_GAIA"]
    with (
        serving(small(structures=())) as stand_in,
        pytest.raises(UserError, match="DATA_STRUCTURE"),
    ):
        staged(stand_in, archive_of(stand_in), "t")


def test_what_was_not_asked_for_and_what_came_twice_is_left_out(small, archive_of, staged, caplog):
    with serving(small()) as stand_in:
        _, calm = staged(stand_in, archive_of(stand_in))
        strangers = small(80)
        stand_in.curves |= {s + 1: c for s, c in list(strangers.curves.items())[60:]}
        stand_in.faults = deque(["wrong"])
        _, transits = staged(stand_in, archive_of(stand_in), "t")
    pd.testing.assert_frame_equal(transits, calm)
    assert "3 light curves that were not asked for" in caplog.text


def test_a_light_curve_that_cannot_be_read_is_asked_for_again_and_told(small, archive_of, staged):
    with serving(small()) as stand_in:
        star = int(stand_in.stars["source_id"].iloc[7])
        stand_in.curves[star]["mag"] = stand_in.curves[star]["mag"][:-1]
        chunk, transits = staged(stand_in, archive_of(stand_in))
        assert (chunk.absent, chunk.unreadable) == ((), (star,))
        assert [len(call.ids) for call in stand_in.calls] == [60, 1, 1]
        assert star not in set(transits["source_id"])


def test_columns_that_have_changed_for_good_are_named(small, archive_of, staged):
    with serving(small()) as stand_in:
        stand_in.faults = deque(["renamed"] * 3)
        with pytest.raises(RunError, match=r"no column 'g_transit_time'; it has: .*g_obs_time"):
            staged(stand_in, archive_of(stand_in, attempts=2))


def test_columns_in_capitals_are_the_same_columns(small, archive_of, staged):
    with serving(small()) as stand_in:
        archive = archive_of(stand_in)
        arrays = {k: v.upper() for k, v in archive.release.light_curves.arrays.items()}
        curves = archive.release.light_curves.model_copy(update={"arrays": arrays})
        release = archive.release.model_copy(update={"light_curves": curves})
        chunk, _ = staged(stand_in, Archive(release, None))
    assert chunk.counts.stars_without_transits == 0


def test_an_answer_that_is_no_zip_is_quoted(tmp_path):
    path, curves = tmp_path / "answer.zip", Release.read(DEFAULT).light_curves
    path.write_text("<html><body>Archive <b>down</b></body></html>")
    with pytest.raises(FailedCallError, match="no zip, but: Archive down"):
        read_products(path, [1], curves)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("README.txt", "hello")
    with pytest.raises(FailedCallError, match=r"holds no VOTable, but README\.txt"):
        read_products(path, [1], curves)
    with zipfile.ZipFile(path, "w"):
        pass  # of no star has the archive anything
    assert read_products(path, [1], curves).arrived == set()


def test_the_client_is_ended_with_the_task_that_waits_for_it(small, release_of, tmp_path):
    class NotWantedError(Exception):
        pass

    looks = iter(range(10**9))

    def look():
        if next(looks) > 5:
            raise NotWantedError

    with serving(small()) as stand_in:
        stand_in.faults = deque(["stall"])
        archive = Archive(release_of(stand_in), None, look=look)
        with pytest.raises(NotWantedError):
            archive.products([1], tmp_path / "products.zip")


def test_the_stand_in_is_an_archive_to_astroquery_and_is_asked_as_by_it(
    small, archive_of, tmp_path
):
    """`astroquery.gaia` as its users know it: the same requests, and an answer that it can read."""
    with serving(small()) as stand_in:
        ids = [int(star) for star in stand_in.stars["source_id"][:3]]
        code = (
            "import sys; from astroquery.gaia import GaiaClass\n"
            "url, *ids = sys.argv[1:]\n"
            "gaia = GaiaClass(gaia_tap_server=url, gaia_data_server=url, "
            "show_server_messages=False)\n"
            "found = gaia.load_data(ids, data_release='Gaia DR3', data_structure='RAW', "
            "retrieval_type='EPOCH_PHOTOMETRY')\n"
            "table = found['EPOCH_PHOTOMETRY_RAW.xml'][0].to_table()\n"
            "job = gaia.launch_job_async('SELECT pf FROM gaiadr3.vari_rrlyrae')\n"
            "print(len(table), len(job.get_results()))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, stand_in.url, *map(str, ids)],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[-2:] == ["3", "60"]
        archive_of(stand_in).products(ids, tmp_path / "products.zip")
        theirs, ours = (call.form for call in stand_in.calls)
        assert ours == theirs
    found = read_products(tmp_path / "products.zip", ids, archive_of(stand_in).release.light_curves)
    assert found.arrived == set(ids)
    assert pc.unique(found.transits["band"]).to_pylist() == ["G"]
