"""The steps that a user composes are those of the pipeline, on whatever cluster there is."""

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import rrl_batch
from rrl_batch.contracts import CATALOGUE
from rrl_batch.errors import UserError


@pytest.fixture(scope="module")
def survey(run):
    return rrl_batch.open_survey(str(run.survey))


@pytest.fixture(scope="module")
def model(run):
    return rrl_batch.open_model(str(run.model))


@pytest.fixture(scope="module")
def written(run):
    return rrl_batch.read_catalogue(str(run.catalogue))


def only_rrab(stars):
    return stars.select(stars.stars["best_classification"] == "RRab")


def test_the_rows_are_those_that_the_pipeline_writes(client, survey, model, written):
    found = rrl_batch.catalogue_dataframe(survey, model)
    assert list(found.columns) == CATALOGUE.names
    computed = client.compute(found).result()
    assert_frame_equal(
        computed.sort_values("source_id", ignore_index=True),
        written.sort_values("source_id", ignore_index=True),
        check_dtype=False,
    )
    numbers = found.dtypes.drop("best_classification")
    assert (numbers == written.dtypes.drop("best_classification")).all()


def test_stars_are_chosen_before_they_are_predicted(client, survey, model, written):
    chosen = rrl_batch.light_curves_bag(survey).map(only_rrab)
    rows = pd.concat(client.compute(rrl_batch.catalogue_bag(chosen, model)).result())
    expected = written[written["best_classification"] == "RRab"]
    assert set(rows["source_id"]) == set(expected["source_id"])
    assert 0 < len(rows) < len(written)


@pytest.mark.parametrize("rows", [rrl_batch.catalogue_bag, rrl_batch.catalogue_dataframe])
def test_the_path_of_a_survey_is_not_taken_for_its_stars(rows, run, model):
    with pytest.raises(UserError, match=r"not a str; open_survey\(…\) opens a survey's folder"):
        rows(str(run.survey), model)


def test_curves_keep_the_stars_and_their_order(client, survey, model):
    stars = client.compute(rrl_batch.light_curves_bag(survey)).result()
    curves = client.compute(rrl_batch.curves_bag(survey, model)).result()
    for batch, prepared in zip(stars, curves, strict=True):
        assert list(prepared.table["source_id"]) == list(batch.stars["source_id"])
        np.testing.assert_array_equal(prepared.sequences, model.prepare(batch).sequences)


def test_a_table_of_a_few_stars_is_predicted_without_a_cluster(run, model, written):
    table = pd.read_parquet(run.survey / "dataset").iloc[5:9]
    rows = model.predict(rrl_batch.LightCurveBatch.from_pandas(table))
    expected = written.set_index("source_id").loc[rows["source_id"]]
    np.testing.assert_allclose(rows["feh"], expected["feh"], rtol=1e-6)
    with pytest.raises(UserError, match=r"The table has no column 'period'"):
        rrl_batch.LightCurveBatch.from_pandas(table.drop(columns="period"))


def test_bags_run_without_a_worker(survey, model, written):
    """As on Dask's own schedulers, which a notebook without a client has."""
    frames = rrl_batch.catalogue_bag(survey, model).compute(scheduler="sync")
    assert sum(map(len, frames)) == len(written)


def test_no_star_chosen_is_no_row(survey, model):
    nobody = rrl_batch.light_curves_bag(survey).map(
        lambda stars: stars.select([False] * len(stars))
    )
    rows = rrl_batch.catalogue_dataframe(nobody, model).compute(scheduler="sync")
    assert len(rows) == 0
    assert list(rows.columns) == CATALOGUE.names


def test_light_curves_are_drawn_as_the_model_gets_them(survey, model):
    batch = next(survey.partitions[0].batches())
    some = batch.select(np.arange(len(batch)) < 4)
    figure = rrl_batch.draw_light_curves(some, model, synthetic=survey.synthetic)
    panels = [axes for axes in figure.axes if axes.axison]
    assert len(panels) == 4
    n_epochs = [len(axes.collections[0].get_offsets()) for axes in panels]
    assert n_epochs == list(model.prepare(some).table["num_epochs_used"])
    assert "SYNTHETIC" in figure.get_suptitle()


def test_objects_say_what_they_are(run, survey, model):
    batch = next(survey.partitions[0].batches())
    prepared = model.prepare(batch)
    n = len(batch)
    assert repr(survey).startswith(f"<Survey {run.survey}: 300 SYNTHETIC stars in ")
    assert repr(survey.partitions[0]).endswith(f": {n} stars in 1 file>")
    assert repr(batch) == f"<LightCurveBatch: {n} stars, {len(batch.time):,} epochs>"
    assert repr(prepared).endswith("with a curve of 16 points>")
    assert repr(prepared).startswith(f"<PreparedStars: {n} stars, ")
    assert repr(model).startswith(f"<Model {run.model}: 2 x gru on ")
    assert "out of fold RMSE" in repr(model.card)
    assert repr(run.job).startswith("<Job: preprocess.points = 16, training.select = ")
