"""A survey whose epochs are not times of maximum light cannot be aligned by them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rrl_batch import flow
from rrl_batch.errors import UserError
from rrl_batch.job import make_job
from rrl_batch.sources.tables import read_labels
from rrl_batch.survey.alignment import check_epochs
from rrl_batch.survey.read import open_survey


@pytest.fixture
def survey_with(run, tmp_path):
    """Write the stars of the run as a survey, with other epochs."""

    def write(epochs):
        tables = [b.to_arrow() for p in open_survey(run.survey).partitions for b in p.batches()]
        stars = pd.concat([table.to_pandas() for table in tables])
        folder = tmp_path / "survey"
        folder.mkdir()
        stars.assign(epoch_g=epochs(stars)).to_parquet(folder / "stars.parquet")
        return open_survey(folder)

    return write


def check(survey):
    for piece in survey.partitions:
        check_epochs(piece, survey.path, Path("work/model"))


@pytest.mark.parametrize(
    "epochs",
    [
        lambda stars: stars["epoch_g"],
        lambda stars: stars["epoch_g"] + 12 * stars["period"],
        lambda _: np.nan,
        lambda stars: stars["epoch_g"].where(stars.index % 2 == 0),
    ],
)
def test_maximum_light_in_any_cycle_or_none_at_all_is_accepted(survey_with, epochs):
    check(survey_with(epochs))


def test_another_epoch_is_refused_with_model_survey_and_remedy(survey_with):
    survey = survey_with(lambda stars: stars["epoch_g"] - 0.35 * stars["period"])
    sentence = (
        r"work/model aligns .* epoch_g of the survey .*/survey is something else: for \d+% of the "
        r"stars it lies more than 0\.1 cycles .*alignment = 'fourier'"
    )
    with pytest.raises(UserError, match=sentence):
        check(survey)


def test_other_epochs_for_some_of_the_stars_are_refused_too(survey_with):
    shift = 0.35 * (np.arange(300) % 5 < 2)
    survey = survey_with(lambda stars: stars["epoch_g"] - shift * stars["period"])
    with pytest.raises(UserError, match=r"for [345]\d% of the stars"):
        check(survey)


def test_a_model_aligned_at_maximum_light_is_trained_on_such_epochs_only(
    client, run, survey_with, tmp_path
):
    survey = survey_with(lambda _: 0.0)
    labels = read_labels(run.labels, "true")
    sections = {"preprocess": {"alignment": "maximum"}, "training": run.job.training.model_dump()}
    with pytest.raises(UserError, match=r"cycles from maximum light"):
        flow.train(client, survey, labels, tmp_path / "model", make_job(sections, "test"))


def test_real_epochs_of_gaia_are_times_of_maximum_light_and_those_of_gaia_dr2_curves_not(
    client, shared_data, tmp_path
):
    for name, photometry in (("gaia_dr3", "epoch_photometry"), ("dekany2022", "photometry")):
        folder = shared_data / name
        source = folder / f"{photometry}.parquet"
        flow.ingest_files(client, source, folder / "stars.parquet", tmp_path / name)
    check(open_survey(tmp_path / "gaia_dr3"))
    with pytest.raises(UserError, match=r"for \d+% of the stars it lies more than"):
        check(open_survey(tmp_path / "dekany2022"))
