"""Stars that the program fails on, or that kill its process, are found and passed by."""

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rrl_batch import flow
from rrl_batch.catalogue.verify import read_catalogue, verify
from rrl_batch.cluster.connect import connect
from rrl_batch.contracts import Flag
from rrl_batch.errors import RunError
from rrl_batch.inference.isolation import failing_stars, predict_around
from rrl_batch.job import ClusterSection
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.stages.population import fit_population
from rrl_batch.survey.read import open_survey


class Poisoned:
    """Work that raises at some stars, and dies of others."""

    def __init__(self, *, raises=(), kills=(), once=None, always=False):
        self.raises, self.kills, self.once, self.always = set(raises), set(kills), once, always

    def __call__(self, batch):
        stars = set(batch.stars["source_id"])
        if self.always:
            raise ValueError("nothing works")
        if self.once and len(stars) == 1 and not self.once.exists():
            self.once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if stars & self.kills:
            os.kill(os.getpid(), signal.SIGSEGV)
        if stars & self.raises:
            raise ValueError("this star")


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


@pytest.fixture(scope="module")
def batch(run) -> LightCurveBatch:
    """Few stars: each time that their process dies, another has to start."""
    return next(iter(open_survey(run.survey).largest.batches())).take(np.arange(12))


def test_the_bad_stars_are_found_among_the_others(batch):
    ids = batch.stars["source_id"]
    found = failing_stars(Poisoned(raises=[ids[3], ids[8]], kills=[ids[11]]), batch)
    assert np.flatnonzero(found).tolist() == [3, 8, 11]


def test_work_that_something_else_has_ended_blames_no_star(batch, tmp_path):
    one = batch.take(np.array([0]))
    assert not failing_stars(Poisoned(once=tmp_path / "once"), one).any()
    assert (tmp_path / "once").exists()


def test_work_that_fails_without_stars_or_with_most_is_not_blamed_on_them(batch):
    with pytest.raises(RunError, match="fails without any star: ValueError: nothing works"):
        failing_stars(Poisoned(always=True), batch)
    with pytest.raises(RunError, match=r"fails for more than 10 stars, .*: this star"):
        failing_stars(Poisoned(raises=batch.stars["source_id"]), batch)


def test_memory_is_bounded(batch):
    found = failing_stars(Hungry(int(batch.stars["source_id"][2])), batch, memory=2 * 10**9)
    assert np.flatnonzero(found).tolist() == [2]


class Hungry(Poisoned):
    """Work that wants more memory for one star than there is."""

    def __init__(self, star):
        super().__init__()
        self.star = star

    def __call__(self, batch):
        if self.star in set(batch.stars["source_id"]):
            np.ones(3 * 10**9, np.uint8)


def test_all_others_get_what_they_get_in_a_whole_batch(batch):
    def predict(stars):
        # what each gets depends on the company
        n = len(stars) * stars.stars["period"].to_numpy() + len(stars.time) * 0
        columns = {name: stars.stars[name] for name in ("source_id", "period")}
        table = pd.DataFrame(columns | {"feh": n, "num_epochs_used": 9, "flags": 1})
        return table.astype({"num_epochs_used": np.int32, "flags": np.int32})

    failing = np.zeros(len(batch), bool)
    failing[[0, 5]] = True
    rows, whole = predict_around(predict, batch, failing), predict(batch)
    pd.testing.assert_frame_equal(rows[~failing], whole[~failing])
    assert rows["source_id"].equals(whole["source_id"])
    assert rows["feh"][failing].isna().all()
    assert rows["flags"][failing].tolist() == [1 << 10] * 2
    alone = predict_around(predict, batch.take(np.array([4])), np.array([True]))
    assert alone["source_id"].tolist() == [whole["source_id"][4]]
    assert alone["feh"].isna().all()


POISON = """
import importlib.abc, importlib.util, functools, os, signal, sys

class Poison(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "rrl_batch.lightcurve.prepare":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module
        def poisoned(module):
            load(module)
            honest = module.prepare
            @functools.wraps(honest)
            def prepare(batch, **settings):
                stars = set(batch.stars["source_id"])
                if {KILLS} in stars:
                    os.kill(os.getpid(), signal.SIGSEGV)
                if {RAISES} in stars:
                    raise ZeroDivisionError("a star that nobody has thought of")
                return honest(batch, **settings)
            module.prepare = prepare
        spec.loader.exec_module = poisoned
        return spec

sys.meta_path.insert(0, Poison())
"""


def _poison(paths, star):
    """Let a worker fail on a star; what it starts finds the poison in its path."""
    from rrl_batch.inference import model

    honest = model.prepare

    def prepare(batch, **settings):
        if star in set(batch.stars["source_id"]):
            raise ZeroDivisionError("a star that nobody has thought of")
        return honest(batch, **settings)

    model.prepare, model.honest = prepare, honest
    os.environ["PYTHONPATH"] = paths


def _cure(paths):
    from rrl_batch.inference import model

    model.prepare = model.honest
    os.environ["PYTHONPATH"] = paths


def test_a_run_passes_by_stars_that_raise_and_stars_that_kill(client, run, tmp_path, caplog):
    files = open_survey(run.survey).largest.files
    (tmp_path / "survey").mkdir()
    shutil.copy(files[0][0], tmp_path / "survey")
    survey = open_survey(tmp_path / "survey")
    flow.predict(client, survey, run.model, tmp_path / "undisturbed")
    expected = read_catalogue(tmp_path / "undisturbed")
    kills, raises = expected["source_id"][expected["feh"].notna()].iloc[[1, 4]].tolist()

    code = POISON.replace("{KILLS}", str(kills)).replace("{RAISES}", str(raises))
    (tmp_path / "sitecustomize.py").write_text(code)
    paths = os.environ["PYTHONPATH"]
    client.run(_poison, f"{tmp_path}{os.pathsep}{paths}", raises)
    try:
        flow.predict(client, survey, run.model, tmp_path / "catalogue")
    finally:
        client.run(_cure, paths)
    _only_these_are_passed_by([kills, raises], tmp_path / "catalogue", expected)
    told = [record.getMessage() for record in caplog.records]
    for star in (kills, raises):
        assert f"the program fails on star {star}, which is passed by" in told


def test_a_population_is_found_without_a_star_that_the_program_fails_on(
    client, run, tmp_path, caplog
):
    survey = open_survey(run.survey)
    batch = next(iter(survey.largest.batches()))
    star = int(batch.stars.loc[batch.stars["best_classification"] == "RRab", "source_id"].iloc[2])
    without = client.run(_leave_out, star) and fit_population(client, survey, ["RRab"])["RRab"]
    client.run(_fold_honestly)
    code = POISON.replace("{KILLS}", "0").replace("{RAISES}", str(star))
    (tmp_path / "sitecustomize.py").write_text(code)
    paths = os.environ["PYTHONPATH"]
    client.run(_fail_to_fold, f"{tmp_path}{os.pathsep}{paths}", star)
    try:
        found = fit_population(client, survey, ["RRab"])["RRab"]
    finally:
        client.run(_fold_honestly, paths)
    assert found.mean.tolist() == without.mean.tolist()
    assert found.covariance.tolist() == without.covariance.tolist()
    told = [record.getMessage() for record in caplog.records]
    assert sum("is done again star by star" in message for message in told) == 1


def _leave_out(star):
    from rrl_batch import tasks

    def folded(batch, alignment):
        left_out = (batch.stars["source_id"] == star).to_numpy()
        return tasks.honest(batch.without_epochs(left_out), alignment)

    tasks.honest, tasks.folded = tasks.folded, folded
    return True


def _fail_to_fold(paths, star):
    from rrl_batch import tasks

    def folded(batch, alignment):
        counts = pd.Series(np.diff(batch.offsets), batch.stars["source_id"])
        if counts.get(star, 0):
            raise ZeroDivisionError("a star that nobody has thought of")
        return tasks.honest(batch, alignment)

    tasks.honest, tasks.folded = tasks.folded, folded
    os.environ["PYTHONPATH"] = paths


def _fold_honestly(paths=None):
    from rrl_batch import tasks

    tasks.folded = tasks.honest
    os.environ["PYTHONPATH"] = paths or os.environ.get("PYTHONPATH", "")


@pytest.mark.long
def test_a_run_goes_on_when_its_workers_have_died_of_a_star(run, tmp_path, monkeypatch):
    """As often as Dask lets them, one after the other."""
    survey = open_survey(run.survey)
    expected = read_catalogue(run.catalogue)
    kills, raises = expected["source_id"][expected["feh"].notna()].iloc[[1, 100]].tolist()
    code = POISON.replace("{KILLS}", str(kills)).replace("{RAISES}", str(raises))
    (tmp_path / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    section = ClusterSection(workers=2, dashboard_address="127.0.0.1:0")
    with connect(section) as other:
        first = set(other.scheduler_info(n_workers=-1)["workers"])
        flow.predict(other, survey, run.model, tmp_path / "catalogue")
        assert not first & set(other.scheduler_info(n_workers=-1)["workers"])
    _only_these_are_passed_by([kills, raises], tmp_path / "catalogue", expected)


def _only_these_are_passed_by(stars, catalogue, expected):
    found = read_catalogue(catalogue)
    assert verify(catalogue).faults == []
    bad = expected["source_id"].isin(stars)
    assert (found["flags"][bad] == int(Flag.COMPUTATION_FAILED)).all()
    # nor has it what the survey's star table says of the curve
    assert found.loc[bad, ["feh", "int_average_g", "phi31_g"]].isna().all(axis=None)
    pd.testing.assert_frame_equal(found[~bad], expected[~bad], check_exact=True)
