"""The kind `slurm` and `deploy/slurm`, with a SLURM that is started for the tests."""

import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import dask
import pytest
import sandbox
import yaml

from rrl_batch import flow
from rrl_batch.cluster.connect import connect
from rrl_batch.errors import RunError, UserError
from rrl_batch.job import make_job
from rrl_batch.storage.commit import checksum
from rrl_batch.survey.read import open_survey

# not imported: that would change what ctrl-C does in this process
JOBQUEUE = find_spec("dask_jobqueue")
pytestmark = pytest.mark.skipif(JOBQUEUE is None, reason="the extra slurm is not installed")

DEPLOY = Path(__file__).parents[2] / "deploy/slurm"
DEFAULTS = (
    yaml.safe_load(Path(JOBQUEUE.origin).with_name("jobqueue.yaml").read_text())["jobqueue"]
    if JOBQUEUE
    else {}
)
SITE = yaml.safe_load((DEPLOY / "jobqueue.yaml").read_text())["jobqueue"]


def section(**options):
    """Return a cluster with one worker, whose scheduler listens on loopback."""
    where = {"dashboard_address": "127.0.0.1:0", "host": "127.0.0.1"}
    one = {"kind": "slurm", "workers": 1, "memory_per_worker": "1500 MiB"}
    return make_job({"cluster": one | where | options}, "test").cluster


@pytest.fixture(scope="module")
def slurm():
    lacking = sandbox.missing("slurmctld", "slurmd", "sbatch", "munged")
    if lacking:
        pytest.skip(f"a SLURM of its own needs {', '.join(lacking)}")
    with sandbox.slurm() as conf, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(conf))
        yield conf


@pytest.fixture(autouse=True)
def jobqueue_configuration():
    """Give dask-jobqueue's settings to each test: it loads them once, whoever imports it first."""
    with dask.config.set({"jobqueue": DEFAULTS}):
        yield


def jobs(slurm):
    """Return the jobs that wait or run."""
    return sandbox.ask_slurm(slurm, "squeue", "-h", "-t", "pending,running").splitlines()


def files(catalogue):
    return [checksum(path) for path in sorted((catalogue / "dataset").rglob("Npix=*.parquet"))]


def test_a_queue_gives_the_catalogue_of_this_machine_and_as_many_workers_as_it_needs(
    slurm, run, tmp_path, monkeypatch
):
    """A worker that ends is replaced, and another is asked for when there is much to do."""
    monkeypatch.chdir(tmp_path)
    settings = {
        "jobqueue": dask.config.merge(DEFAULTS, SITE),
        "distributed.deploy.lost-worker-timeout": "0.1s",
    }
    with dask.config.set(settings), connect(section(workers=2, min_workers=1, hours=1)) as client:
        assert client.scheduler.address.startswith("tls://127.0.0.1:")
        script = client.cluster.job_script()
        assert "#SBATCH -t 60\n" in script
        assert script.index("--lifetime 48m") < script.index("--lifetime 48.00m")  # the last holds
        first = set(client.scheduler_info(n_workers=-1)["workers"])
        client.retire_workers(list(first))
        sandbox.until(
            lambda: set(client.scheduler_info(n_workers=-1)["workers"]) - first, "another worker"
        )
        much = client.map(time.sleep, [0.1] * 500, pure=False)
        sandbox.until(lambda: len(jobs(slurm)) == 2, "another job")
        del much
        flow.predict(client, open_survey(run.survey), run.model, tmp_path / "catalogue")
    assert files(tmp_path / "catalogue") == files(run.catalogue)
    assert jobs(slurm) == []


JOB = """\
[survey]
path = "{run.survey}"
[labels]
path = "{run.labels}"
scale = "true"
[preprocess]
points = 16
[model]
path = "{run.model}"
[training]
select = "{run.job.training.select}"
folds = 2
epochs = 3
[catalogue]
path = "nowhere"
[evaluation]
path = "evaluation"
[cluster]
workers = 64
"""


@pytest.fixture
def submit(slurm, run, tmp_path, monkeypatch):  # noqa: ARG001 -- SLURM runs
    """Submit the script with a job file of the small run, whose model is there already."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    Path("job.toml").write_text(JOB.format(run=run))

    def sbatch(*words):
        """Return what the command has done, once the job has ended."""
        resources = ["--parsable", "--ntasks=1", "--mem-per-cpu=1500M", "--time=10"]
        command = ["sbatch", "--wait", *resources, DEPLOY / "run.sbatch", *words]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=sandbox.SECONDS, check=False
        )

    return sbatch


def test_the_script_gives_the_catalogue_of_this_machine(submit, run, tmp_path):
    done = submit(
        "job.toml", "--set", "catalogue.path=catalogue", "--set", f"model.path={run.model}"
    )
    number = done.stdout.strip()
    output = Path(f"rrl-batch-{number}.log").read_text()
    assert done.returncode == 0, output
    assert "all as written" in output
    assert files(tmp_path / "catalogue") == files(run.catalogue)
    assert (tmp_path / "evaluation/index.html").exists()
    workers = Path(f"rrl-batch-{number}.workers.log").read_text()
    assert "Start worker at:      tls://" in workers
    assert not list(tmp_path.glob(".rrl-batch-*"))  # its certificates


def test_the_script_without_a_job_file_says_how_it_is_used(submit):
    done = submit()
    assert done.returncode == 2
    assert (
        "usage: sbatch run.sbatch JOB.toml"
        in Path(f"rrl-batch-{done.stdout.strip()}.log").read_text()
    )


@pytest.mark.usefixtures("slurm")
def test_what_slurm_refuses_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=r"^SLURM refuses .* Invalid partition name specified\.$"):
        next(connect(section(queue="nonsense")).gen)


@pytest.mark.usefixtures("slurm")
def test_jobs_that_never_start_are_given_up_and_leave_the_queue(slurm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=r"No worker has come within 0\.01 minutes; 'squeue --me'"):
        next(connect(section(queue="closed", start_timeout=0.01)).gen)
    assert jobs(slurm) == []


def test_a_machine_without_slurm_is_a_sentence(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"no command sbatch on this machine; .* login node\."):
        next(connect(section()).gen)


def test_jobs_without_memory_are_refused(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/sbatch")
    with pytest.raises(UserError, match=r"need their memory: give cluster\.memory_per_worker"):
        next(connect(section(memory_per_worker="auto")).gen)


def test_a_kind_whose_package_is_not_installed_names_its_extra(monkeypatch):
    monkeypatch.setattr("rrl_batch.cluster.kinds.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"needs the package dask-jobqueue; .*'rrl-batch\[slurm\]'"):
        next(connect(section()).gen)
