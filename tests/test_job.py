from pathlib import Path
from typing import get_args

import pytest

from rrl_batch.errors import UserError
from rrl_batch.job import (
    CLUSTER_OPTIONS,
    NEEDED_OPTIONS,
    ClusterSection,
    Job,
    ModelSection,
    make_job,
    read_job,
)
from rrl_batch.models.registry import ARCHITECTURES

JOBS = Path(__file__).parents[1] / "jobs"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "job.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", sorted(JOBS.glob("*.toml")), ids=lambda p: p.name)
def test_the_job_files_that_are_shipped_are_valid(path):
    assert isinstance(read_job(path), Job)


def test_settings_take_precedence_and_have_the_types_of_toml(tmp_path):
    path = write(tmp_path, '[model]\narchitecture = "gru"\n[training]\nfolds = 5\n')
    job = read_job(
        path,
        ["survey.path=work/dekany", "labels.scale=dekany2022", "training.folds=7",
         'training.modes=["RRab", "RRc"]'],
    )  # fmt: skip
    assert job.survey.path == Path("work/dekany")
    assert job.labels.scale == "dekany2022"
    assert job.training.folds == 7
    assert job.training.modes == ("RRab", "RRc")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[training]\nfold = 5\n", "unknown key 'training.fold'; did you mean 'folds'?"),
        ("[trainin]\nfolds = 5\n", "unknown section 'trainin'; did you mean 'training'?"),
        ("[simulate]\nstars = 10\nsed = 1\n", "unknown key 'simulate.sed'; did you mean 'seed'?"),
        (
            "[model]\nzzz = 1\n",
            "unknown key 'model.zzz'; there are: path, architecture, beside, static, by_mode, "
            "dropout.",
        ),
        ("[model]\narchitecture = []\n", "'model.architecture' = [] is not valid"),
        ("[model]\nstatic = 'phase'\n", "'model.static' = 'phase' is not valid"),
        ("[model]\ndropout = 1.0\n", "'model.dropout' = 1.0 is not valid"),
        ("[training]\nrepeats = 0\n", "'training.repeats' = 0 is not valid"),
        ("[training]\nfraction = 0.0\n", "'training.fraction' = 0.0 is not valid"),
        ("[training]\nstop_fraction = 0.5\n", "'training.stop_fraction' = 0.5 is not valid"),
        ("[training]\nschedule = 'cosine'\n", "'training.schedule' = 'cosine' is not valid"),
        ("[training]\nweights = 'lds'\n", "'training.weights' = 'lds' is not valid"),
        ("[experiment]\ncase = 1\n", "unknown key 'experiment.case'; did you mean 'cases'?"),
        ("[search]\nmethod = 'random'\n", "'search.method' = 'random' is not valid"),
        (
            "[search.space]\n'model.dropout' = []\n",
            "'search.space.model.dropout' = [] is not valid",
        ),
        ("[experiment.grid]\n'model.dropout' = []\n", "= [] is not valid: list should have at"),
        ("[experiment.blends]\nboth = []\n", "'experiment.blends.both' = [] is not valid"),
        ("[training]\nfolds = 1\n", "'training.folds' = 1 is not valid"),
        ("[training]\nfolds = 'x'\n", "'training.folds' = 'x' is not valid"),
        ("[training]\nmodes = ['RRx']\n", "'training.modes' = 'RRx' is not valid"),
        (
            "[preprocess]\nsmoothing = 'population'\n[training]\nmodes = ['RRab', 'RRd']\n",
            "preprocess.smoothing = 'population' is for RRab and RRc, not for RRd; take it out of "
            "training.modes",
        ),
        (
            "[training.of.mlp]\nepoch = 3\n",
            "unknown key 'training.of.mlp.epoch'; did you mean 'epochs'?",
        ),
        (
            "[training.of.mlp]\nfolds = 3\n",
            "unknown key 'training.of.mlp.folds'; there are: weights",
        ),
        ("[training.of.mlp]\nepochs = 0\n", "'training.of.mlp.epochs' = 0 is not valid"),
        ("[training.of.mpl]\nepochs = 3\n", "no architecture 'mpl'; did you mean 'mlp'?"),
        (
            "[training.of.gp]\nepochs = 3\n",
            "[training.of.gp]: training.epochs does not change a 'gp', which does not learn pass "
            "by pass; take it out.",
        ),
        ("training = 3\n", "'training' = 3 is not valid"),
        ("[training\n", "is not TOML"),
    ],
)
def test_a_faulty_job_file_is_refused_in_one_sentence(tmp_path, text, sentence):
    with pytest.raises(UserError) as refusal:
        read_job(write(tmp_path, text))
    assert sentence in str(refusal.value)
    assert "job.toml" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_job_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.toml cannot be read: No such file"):
        read_job(tmp_path / "nothing.toml")


def test_a_faulty_setting_is_not_blamed_on_the_file_alone(tmp_path):
    with pytest.raises(UserError, match=r"job\.toml with --set: 'training\.folds' = 'zwei'"):
        read_job(write(tmp_path, ""), ["training.folds=zwei"])
    assert read_job(write(tmp_path, ""), ["training.modes=RRc"]).training.modes == ("RRc",)


@pytest.mark.parametrize("setting", ["survey", "survey=x", "survey.=x", ".path=x", "survey.path"])
def test_a_setting_that_is_not_section_key_value_is_refused(tmp_path, setting):
    with pytest.raises(UserError, match=r"--set takes section\.key=value"):
        read_job(write(tmp_path, ""), [setting])


def test_a_section_that_a_job_may_lack_can_be_taken_out(tmp_path):
    path = tmp_path / "job.toml"
    path.write_text("[simulate]\nstars = 3\n[survey]\npath = 'x'\n")
    assert read_job(path).simulate
    assert read_job(path, ["simulate=false"]).simulate is None
    with pytest.raises(UserError, match=r"--set takes section\.key=value"):
        read_job(path, ["survey=false"])


def test_a_missing_path_names_the_section_and_the_setting(tmp_path):
    job = read_job(write(tmp_path, "[survey]\npath = 'a'\n"))
    job.require("survey")
    with pytest.raises(UserError, match=r"no model\.path; .* --set model\.path=…"):
        job.require("survey", "model")
    assert job.paths() == {"survey": Path("a")}


def test_the_job_file_names_every_kind_of_predictor_that_a_model_can_have():
    description = ModelSection.model_fields["architecture"].description
    named = description.removeprefix("kind of predictor: ").partition(";")[0]
    kept = [name for name, kind in ARCHITECTURES.items() if kind.engine != "none"]
    assert sorted(named.replace(" or ", ", ").split(", ")) == sorted(kept)


def test_a_model_has_one_kind_of_predictor_or_several(tmp_path):
    path = write(tmp_path, "[model]\narchitecture = 'gp'\n")
    assert read_job(path).model.architecture == ("gp",)
    assert read_job(path, ['model.architecture=["gp", "gru"]']).model.architecture == ("gp", "gru")


def test_a_kind_of_predictor_may_be_fitted_otherwise_than_the_others(tmp_path):
    text = "[training]\nepochs = 80\nlearning_rate = 0.02\n[training.of.mlp]\nepochs = 120\n"
    job = read_job(write(tmp_path, text), ["training.of.gp.weight_strength=0.5"])
    mlp, gp, gru = map(job.training.of_kind, ("mlp", "gp", "gru"))
    assert (mlp.epochs, mlp.learning_rate, mlp.weight_strength) == (120, 0.02, 1.0)
    assert (gp.epochs, gp.weight_strength) == (80, 0.5)
    assert gru == job.training
    assert job.training.model_dump(mode="json")["of"] == {
        "mlp": {"epochs": 120}, "gp": {"weight_strength": 0.5},
    }  # fmt: skip
    # as a case or another process has it
    assert job.with_settings({}, "test").training == job.training


def test_kinds_are_those_of_the_mean_and_those_beside_it(tmp_path):
    path = write(tmp_path, "[model]\narchitecture = ['gp', 'mlp']\nbeside = 'gru'\n")
    model = read_job(path).model
    assert (model.architecture, model.beside) == (("gp", "mlp"), ("gru",))
    assert model.kinds == ("gp", "mlp", "gru")
    assert read_job(path, ["model.architecture=gru"]).model.kinds == ("gru",)


def experiment(**section):
    """Return a job that compares predictors."""
    content = {"training": {"epochs": 7, "folds": 4}, "labels": {"rival": "published"}}
    return make_job(content | {"experiment": section}, "job.toml")


def test_cases_are_all_combinations_of_a_grid_and_those_with_a_name():
    grid = {"model.architecture": ["gru", "gp"], "training.fraction": [0.5, 1.0]}
    dense = {"model.architecture": "mlp", "training.weights": "denseweight"}
    job = experiment(grid=grid, cases={"dense": dense})
    cases = job.cases()
    assert list(cases) == ["gru, 0.5", "gru, 1.0", "gp, 0.5", "gp, 1.0", "dense"]
    assert cases["gp, 0.5"].model.architecture == ("gp",)
    assert cases["gp, 0.5"].training.fraction == 0.5
    assert cases["dense"].training.weights == "denseweight"
    assert all(case.training.epochs == 7 for case in cases.values())
    assert cases["gru, 1.0"].training == job.training
    assert cases["gru, 1.0"].experiment is None
    assert job.experiment.settings()["dense"] == dense


def test_cases_to_choose_from_are_those_that_blends_are_made_of():
    cases = {name: {"model.architecture": name} for name in ("gru", "gp", "ridge")}
    job = experiment(cases=cases, blends={"both": ["gru", "gp"]}, choose_from=["both", "gp"])
    assert job.nested_cases() == {"gru", "gp"}
    assert list(job.cases()) == ["gru", "gp", "ridge"]
    assert experiment(cases=cases).nested_cases() == set()


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({}, "[experiment] has no case; give it a grid or cases."),
        (
            {"cases": {"a": {"training.epoch": 3}}},
            "case 'a': unknown key 'training.epoch'; did you mean 'epochs'?",
        ),
        (
            {"cases": {"a": {"training.epochs": 0}}},
            "case 'a': 'training.epochs' = 0 is not valid",
        ),
        (
            {"grid": {"training.folds": [2, 3]}},
            "case '2': 'training.folds' cannot differ between cases",
        ),
        ({"cases": {"a": {"training.seed": 1}}}, "'training.seed' cannot differ between cases"),
        ({"cases": {"a": {"survey.path": "x"}}}, "'survey.path' cannot differ between cases"),
        ({"cases": {"a": {"epochs": 3}}}, "case 'a': 'epochs' cannot differ between cases"),
        (
            {"cases": {"a": {"model.architecture": ["gru", "gp"]}}},
            "case 'a' has several architectures; give each a case, and their mean a line in "
            "[experiment.blends].",
        ),
        (
            {"cases": {"a": {"model.architecture": "gp", "model.beside": "gru"}}},
            "case 'a' has several architectures",
        ),
        (
            {"cases": {"a": {"model.architecture": "svr", "training.batch_size": 3}}},
            "case 'a': training.batch_size does not change a 'svr', which does not learn pass by",
        ),
        (
            {"cases": {"a": {"model.architecture": "mlp", "model.static": "period"}}},
            "case 'a': model.static does not change a 'mlp', which gets all shape parameters",
        ),
        (
            {"cases": {"a": {"model.architecture": "grv"}}},
            "There is no architecture 'grv'; did you mean 'gru'?",
        ),
        (
            {"cases": {"a": {"training.of.gru.epochs": 3, "training.epochs": 4}}},
            "case 'a': training.epochs does not change a 'gru', since training.of.gru.epochs is "
            "given; set that one.",
        ),
        (
            {"cases": {"ridge": {}}, "reference": "rigde"},
            "[experiment] names 'rigde', which is no case; did you mean 'ridge'?",
        ),
        (
            {"cases": {"a": {}}, "blends": {"both": ["a", "b"]}},
            "[experiment] names 'b', which is no case; there are: a.",
        ),
        (
            {"cases": {"a": {}}, "blends": {"b": ["a"], "c": ["b"]}},
            "[experiment] names 'b', which is no case",
        ),
        (
            {"cases": {"a": {}}, "choose_from": ["none"]},
            "[experiment] names 'none', which is no case; there are: a.",
        ),
        (
            {"cases": {"0.5": {}}, "grid": {"training.fraction": [0.5]}},
            "[experiment] has a case '0.5' in its grid, too; rename one.",
        ),
        (
            {"cases": {"published": {}}},
            "has a case or blend 'published', which is the name of some",
        ),
        (
            {"cases": {"a": {}}, "blends": {"chosen within the training folds": ["a"]}},
            "has a case or blend 'chosen within the training folds', which is the name of",
        ),
        (
            {"cases": {"a": {}, "b": {}}, "blends": {"a": ["a", "b"]}},
            "[experiment] has a case and a blend 'a'; rename one.",
        ),
    ],
)
def test_a_faulty_experiment_is_refused_in_one_sentence(section, sentence):
    with pytest.raises(UserError) as refusal:
        experiment(**section).cases()
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_too_few_folds_to_choose_within_are_refused_where_they_are_known():
    cases = {name: {"model.architecture": name} for name in ("gp", "ridge")}
    search = {"space": {"training.learning_rate": [0.01]}}
    content = {
        "training": {"folds": 2},
        "experiment": {"cases": cases, "choose_from": list(cases)},
        "search": search,
    }
    job = make_job(content, "job.toml")
    for read in (job.cases, job.search_points):
        with pytest.raises(UserError, match=r"three folds or more, not 2; set training\.folds"):
            read()
    given = make_job(content | {"labels": {"fold": "fold"}}, "job.toml")
    assert list(given.cases()) == ["gp", "ridge"]
    assert len(given.search_points()) == 1


def test_the_points_of_a_search_are_all_combinations_of_its_space():
    space = {"training.learning_rate": [0.01, 0.02], "model.dropout": [0.0, 0.1, 0.2]}
    points = make_job({"search": {"space": space}}, "job.toml").search_points()
    found = [(point.training.learning_rate, point.model.dropout) for point in points]
    assert sorted(found) == [(rate, drop) for rate in (0.01, 0.02) for drop in (0.0, 0.1, 0.2)]
    for wrong, sentence in (
        ({}, r"\[search\.space\] is empty; give it options and the values to try\."),
        ({"training.seed": [1]}, r"\[search\.space\]: 'training\.seed' cannot differ"),
        (
            {"model.beside": ["gp"]},
            r"for the settings of one architecture, and model\.arch.* several",
        ),
        (
            {"model.architecture": ["gru", "gp"], "training.epochs": [1, 2]},
            r"\[search\.space\]: training\.epochs does not change a 'gp'",
        ),
    ):
        with pytest.raises(UserError, match=sentence):
            make_job({"search": {"space": wrong}}, "job.toml").search_points()


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ("kind = 'cloud'", "'cluster.kind' = 'cloud' is not valid"),
        ("kind = 'ssh'\nhosts = 'a'", "'cluster.hosts' = 'a' is not valid: input should be a v"),
        ("dashboard_address = 'head'", "cluster.dashboard_address = 'head' is no address; give h"),
        ("dashboard_address = 'head:99999'", "cluster.dashboard_address = 'head:99999' is no addr"),
        (
            "kind = 'address'",
            "The job's cluster is of kind 'address' but names no cluster.address; add it to the "
            "section [cluster] of the job file, or give --set cluster.address=…",
        ),
        ("kind = 'ssh'\nhosts = ['a']", "is of kind 'ssh' but names no cluster.workers;"),
        ("kind = 'ssh'\nworkers = 1", "is of kind 'ssh' but names no cluster.hosts;"),
        ("kind = 'slurm'", "is of kind 'slurm' but names no cluster.workers;"),
        ("kind = 'kubernetes'\nworkers = 2", "of kind 'kubernetes' but names no cluster.manifest"),
        (
            "queue = 'long'",
            "cluster.queue is for kind 'slurm', and the job's cluster is of kind 'local'; take it "
            "out.",
        ),
        (
            "kind = 'ssh'\nhosts = ['a']\nworkers = 2\nmin_workers = 1",
            "cluster.min_workers is for kind 'slurm' or 'kubernetes', and the job's cluster is of "
            "kind 'ssh'; take it out.",
        ),
        (
            "kind = 'slurm'\nworkers = 2\nmin_workers = 3",
            "cluster.min_workers = 3 is more than cluster.workers = 2; lower it.",
        ),
        (
            "kind = 'slurm'\nworkers = 3\nworkers_per_job = 2",
            "cluster.workers = 3 is no multiple of cluster.workers_per_job = 2; change one.",
        ),
        (
            "kind = 'slurm'\nworkers = 4\nworkers_per_job = 2\nmin_workers = 2",
            "A cluster with cluster.min_workers needs cluster.workers_per_job = 1",
        ),
        ("kind = 'slurm'\nworkers = 4\nhours = 0", "'cluster.hours' = 0 is not valid"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused_in_one_sentence(tmp_path, section, sentence):
    with pytest.raises(UserError) as refusal:
        read_job(write(tmp_path, f"[cluster]\n{section}\n"))
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_another_kind_of_cluster_takes_over_the_options_that_it_has(tmp_path):
    path = write(
        tmp_path,
        "[cluster]\nkind = 'slurm'\nworkers = 8\nqueue = 'long'\nmemory_per_worker = '4 GiB'\n",
    )
    assert read_job(path).cluster.queue == "long"
    here = read_job(path, ["cluster.kind=ssh", 'cluster.hosts=["a", "b"]']).cluster
    assert (here.kind, here.hosts, here.workers) == ("ssh", ("a", "b"), 8)
    assert (here.queue, here.memory_per_worker) == (None, "4 GiB")
    running = read_job(path, ["cluster.kind=address", "cluster.address=tcp://a:8786"]).cluster
    assert running.workers is None
    with pytest.raises(UserError, match=r"cluster\.queue is for kind 'slurm'"):
        read_job(path, ["cluster.kind=local", "cluster.queue=long"])


def test_a_whole_cluster_section_can_be_written_and_read_again():
    section = {"kind": "slurm", "workers": 4, "hours": 2}
    job = make_job({"cluster": section}, "job.toml")
    again = make_job({"cluster": job.cluster.model_dump(mode="json")}, "job.toml")
    assert again.cluster == job.cluster


def test_options_of_kinds_of_clusters_are_options():
    options = set(ClusterSection.model_fields)
    for table in (CLUSTER_OPTIONS, NEEDED_OPTIONS):
        assert set(table) == set(get_args(ClusterSection.model_fields["kind"].annotation))
        assert {name for names in table.values() for name in names} <= options
    assert all(set(NEEDED_OPTIONS[kind]) <= set(CLUSTER_OPTIONS[kind]) for kind in CLUSTER_OPTIONS)


@pytest.mark.parametrize(
    ("memory", "sentence"),
    [("4 Gigs", "'4 Gigs' is no amount"), ("10 MB", "'10 MB' is less than a worker takes")],
)
def test_memory_that_no_worker_could_have_is_refused(memory, sentence):
    with pytest.raises(UserError, match=f"memory_per_worker = {sentence}"):
        make_job({"cluster": {"memory_per_worker": memory}}, "test")


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ("catalogue", "../elsewhere"),
        ("model", "/etc/rrl"),
        ("evaluation", "link/below"),
        ("experiment", "a/../../b"),
        ("labels", "/tmp/labels.parquet"),  # noqa: S108 -- nothing is written there
    ],
)
def test_a_job_file_writes_only_below_the_folder_it_is_used_in(
    tmp_path, monkeypatch, section, path
):
    work = tmp_path / "work"
    work.mkdir()
    (work / "link").symlink_to(tmp_path)
    monkeypatch.chdir(work)
    file = work / "job.toml"
    simulate = "[simulate]\nstars = 3\n" if section == "labels" else ""
    file.write_text(f'{simulate}[{section}]\npath = "{path}"\n')
    job = read_job(file)
    with pytest.raises(UserError, match=rf"writes to /.* \({section}\.path\), which is neither"):
        job.check_where_it_writes(file, [])
    job.check_where_it_writes(file, [f"{section}.path={path}"])


def test_a_job_writes_beside_its_file_and_reads_wherever_it_likes(tmp_path):
    file = tmp_path / "job.toml"
    file.write_text(
        f'[survey]\npath = "/data/survey"\n[labels]\npath = "/data/labels.parquet"\n'
        f'[model]\npath = "{tmp_path}/x/../model"\n[catalogue]\npath = "catalogue"\n'
    )
    read_job(file).check_where_it_writes(file, [])
