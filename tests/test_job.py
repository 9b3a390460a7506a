from pathlib import Path

import pytest
from networks import OF_CURVES

from rrl_batch.errors import UserError
from rrl_batch.job import Job, ModelSection, read_job

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
        ("[model]\nzzz = 1\n", "unknown key 'model.zzz'; there are: path, architecture."),
        ("[training]\nfolds = 1\n", "'training.folds' = 1 is not valid"),
        ("[training]\nfolds = 'x'\n", "'training.folds' = 'x' is not valid"),
        ("[training]\nmodes = ['RRx']\n", "'training.modes' = 'RRx' is not valid"),
        (
            "[preprocess]\nsmoothing = 'population'\n[training]\nmodes = ['RRab', 'RRd']\n",
            "preprocess.smoothing = 'population' is for RRab and RRc, not for RRd; take it out of "
            "training.modes",
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


def test_a_missing_path_names_the_section_and_the_setting(tmp_path):
    job = read_job(write(tmp_path, "[survey]\npath = 'a'\n"))
    job.require("survey")
    with pytest.raises(UserError, match=r"no model\.path; .* --set model\.path=…"):
        job.require("survey", "model")
    assert job.paths() == {"survey": Path("a")}


def test_the_job_file_names_every_kind_of_network():
    description = ModelSection.model_fields["architecture"].description
    named = description.removeprefix("kind of network: ").replace(" or ", ", ").split(", ")
    assert sorted(named) == sorted(OF_CURVES)
