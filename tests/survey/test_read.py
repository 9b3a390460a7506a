import shutil

import pandas as pd
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
