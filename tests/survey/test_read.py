import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rrl_batch.errors import UserError
from rrl_batch.survey.read import open_survey


def rows(survey):
    return sum(len(batch) for part in survey.partitions for batch in part.batches())


@pytest.fixture
def survey(run, tmp_path):
    return shutil.copytree(run.survey, tmp_path / "survey")


@pytest.fixture
def foreign(run, tmp_path):
    """Return a folder of one Parquet file with the stars of the survey."""
    tables = [b.to_arrow() for p in open_survey(run.survey).partitions for b in p.batches()]
    folder = tmp_path / "foreign"
    folder.mkdir()
    pd.concat([t.to_pandas() for t in tables]).to_parquet(folder / "stars.parquet")
    return folder


def test_a_survey_is_read_whole_and_its_content_is_its_fingerprint(run, survey):
    assert open_survey(survey).rows == rows(open_survey(survey)) == 300
    assert open_survey(survey).fingerprint == open_survey(run.survey).fingerprint


def test_there_is_no_survey(tmp_path):
    with pytest.raises(UserError, match="There is no survey at"):
        open_survey(tmp_path / "nothing")
    with pytest.raises(UserError, match="holds no Parquet files"):
        open_survey(tmp_path)


def test_a_catalogue_is_not_a_survey(run):
    with pytest.raises(UserError, match="holds a catalogue, not a survey"):
        open_survey(run.catalogue)


def test_an_unfinished_survey_is_refused(survey):
    (survey / "manifest.json").unlink()
    with pytest.raises(UserError, match="unfinished run; run its job again"):
        open_survey(survey)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("../other/dataset/Norder=0/Dir=0/Npix=3.parquet", "is not in the dataset's folder"),
        ("/etc/passwd", "is not in the dataset's folder"),
        ("manifest.json", "is not the file of a HATS partition"),
        ("dataset/Norder=99/Dir=0/Npix=3.parquet", "is not the file of a HATS partition"),
    ],
)
def test_a_manifest_cannot_name_other_files_than_partitions(survey, path, sentence):
    file = survey / "manifest.json"
    content = json.loads(file.read_text())
    content["partitions"][0]["path"] = path
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=sentence):
        open_survey(survey)


def test_a_truncated_file_is_named(survey):
    victim = next((survey / "dataset").rglob("Npix=*.parquet"))
    victim.write_bytes(victim.read_bytes()[:-20])
    with pytest.raises(UserError, match=rf"{victim.name} cannot be read as Parquet"):
        open_survey(survey)


def test_a_file_that_was_replaced_is_named(survey):
    victim, other = sorted((survey / "dataset").rglob("Npix=*.parquet"))[:2]
    pq.write_table(pq.read_table(other).slice(1), victim)
    with pytest.raises(UserError, match=r"rows where the manifest says"):
        open_survey(survey)


def test_a_star_that_occurs_twice_is_named(foreign):
    table = pd.read_parquet(foreign / "stars.parquet")
    table.head(2).to_parquet(foreign / "more.parquet")
    star = table["source_id"].iloc[0]
    with pytest.raises(UserError, match=rf"star {star} occurs more than once \(2 rows too many\)"):
        open_survey(foreign)


@pytest.mark.parametrize("column", ["source_id", "period", "g_transit_mag"])
def test_a_missing_column_is_named(foreign, column):
    file = foreign / "stars.parquet"
    pd.read_parquet(file).drop(columns=column).to_parquet(file)
    with pytest.raises(UserError, match=rf"stars\.parquet has no column '{column}'"):
        open_survey(foreign)


def test_a_column_of_another_type_is_named(foreign):
    file = foreign / "stars.parquet"
    pd.read_parquet(file).assign(period="long").to_parquet(file)
    with pytest.raises(UserError, match=r"column 'period' has the type .*string"):
        rows(open_survey(foreign))


def test_partitions_of_a_foreign_folder_follow_the_sky(foreign, run):
    ours, theirs = open_survey(run.survey), open_survey(foreign)
    assert [p.pixel for p in theirs.partitions] == [p.pixel for p in ours.partitions]
    for own, other in zip(ours.partitions, theirs.partitions, strict=True):
        expected, found = (next(iter(p.batches())) for p in (own, other))
        pd.testing.assert_frame_equal(found.stars, expected.stars)
        assert (found.mag == expected.mag).all()
        assert own.rows == other.rows


def test_a_survey_without_stars_is_refused(foreign):
    file = foreign / "stars.parquet"
    pd.read_parquet(file).head(0).to_parquet(file)
    with pytest.raises(UserError, match="holds no stars"):
        open_survey(foreign)


READ_ONE_PARTITION = """
import sys
from pathlib import Path
import pyarrow as pa
from rrl_batch.survey.read import open_survey

survey = open_survey(Path(sys.argv[1]))
largest = max(survey.partitions, key=lambda piece: piece.rows)
sizes = [len(batch) for batch in largest.batches()]
print(sum(sizes) == largest.rows, max(sizes), largest.rows, pa.default_memory_pool().max_memory())
"""


def test_a_crowded_field_in_one_row_group_is_split_and_never_held_whole(tmp_path):
    """The stars of a Magellanic Cloud, in one piece on the disk and in one place on the sky."""
    rng, n_stars, n_epochs = np.random.default_rng(0), 200_000, 40
    offsets = pa.array(np.arange(n_stars + 1) * n_epochs, pa.int32())
    lists = {
        name: pa.ListArray.from_arrays(offsets, pa.array(values, kind))
        for name, values, kind in (
            ("g_transit_time", rng.uniform(1700, 2700, n_stars * n_epochs), pa.float64()),
            ("g_transit_mag", rng.normal(19, 0.3, n_stars * n_epochs), pa.float32()),
            ("g_transit_mag_error", rng.uniform(0.01, 0.1, n_stars * n_epochs), pa.float32()),
        )
    }
    stars = pa.table(
        {
            "source_id": np.arange(n_stars) + 1,
            "ra": rng.normal(80, 2, n_stars),
            "dec": rng.normal(-69, 2, n_stars),
            "best_classification": ["RRab"] * n_stars,
            "period": rng.uniform(0.4, 0.8, n_stars),
            **lists,
        }
    )
    pq.write_table(stars, tmp_path / "cloud.parquet", row_group_size=n_stars)
    command = [sys.executable, "-c", READ_ONE_PARTITION, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    whole, largest_batch, largest_partition, peak = done.stdout.split()
    assert whole == "True"
    assert 1_000 < int(largest_batch) <= 5_000
    assert 5_000 < int(largest_partition) <= 20_000
    assert int(peak) < 0.6 * stars.nbytes


def test_stars_with_many_epochs_come_in_smaller_batches(tmp_path):
    """A deep field, where the mean number of epochs says nothing of the first stars."""
    counts = np.repeat([30_000, 10], [60, 400])
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
    rng = np.random.default_rng(0)
    lists = {
        name: pa.ListArray.from_arrays(offsets, pa.array(rng.random(counts.sum()), kind))
        for name, kind in (("g_transit_time", pa.float64()), ("g_transit_mag", pa.float32()),
                           ("g_transit_mag_error", pa.float32()))
    }  # fmt: skip
    stars = pa.table(
        {
            "source_id": np.arange(len(counts)) + 1, "ra": rng.uniform(50, 51, len(counts)),
            "dec": rng.uniform(-30, -29, len(counts)),
            "best_classification": ["RRab"] * len(counts),
            "period": rng.uniform(0.4, 0.8, len(counts)), **lists,
        }
    )  # fmt: skip
    pq.write_table(stars, tmp_path / "deep.parquet")
    found = []
    for piece in open_survey(tmp_path).partitions:
        most_stars, most_epochs = piece.largest_batch()
        for batch in piece.batches():
            assert len(batch) <= most_stars
            assert len(batch.time) <= most_epochs <= 1_000_000
            found += batch.stars["source_id"].to_list()
    assert sorted(found) == list(range(1, len(counts) + 1))
