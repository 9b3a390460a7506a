"""Workers that see other files: processes in a mount namespace of their own, as on other hosts."""

import os
import subprocess
import sys

import pytest
from distributed import Client, LocalCluster

from rrl_batch.doctor.shared_files import read, written
from rrl_batch.doctor.subject import Subject
from rrl_batch.job import ClusterSection, make_job

HIDING = """
set -e
mount -t tmpfs -o size=64k tmpfs "$1"
mount --bind "$2" "$2"
mount -o remount,bind,ro "$2"
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder that the other host has not, one that is read-only there, and one that it shares."""
    root = tmp_path_factory.mktemp("mounts")
    found = {name: root / name for name in ("hidden", "read_only", "shared")}
    for folder in found.values():
        folder.mkdir()
        (folder / "labels.csv").write_text("source_id,feh,scale\n1,-1.5,true\n")
    return found


@pytest.fixture(scope="module")
def two_hosts(folders):
    """A client of one worker that sees the folders, and one that does not."""
    isolated = [
        "unshare", "--mount", "sh", "-c", HIDING + 'shift 2; exec "$@"', "sh",
        str(folders["hidden"]), str(folders["read_only"]),
    ]  # fmt: skip
    try:
        able = subprocess.run([*isolated, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        able = False
    if not able:
        pytest.skip("a mount namespace takes root and the program unshare")
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            protocol="tcp",
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as cluster,  # fmt: skip
        Client(cluster) as client,
    ):
        worker = subprocess.Popen(
            [
                *isolated, sys.executable, "-m", "distributed.cli.dask_worker",
                cluster.scheduler_address, "--no-nanny", "--nthreads", "1", "--no-dashboard",
                "--name", "other host",
            ],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            client.wait_for_workers(2, timeout=300)
            yield client
        finally:
            worker.terminate()
            worker.wait(timeout=60)


def subject(client, output, source):
    paths = {"model": {"path": str(output)}, "labels": {"path": str(source)}}
    return Subject(ClusterSection(), make_job(paths, "test"), client)


@pytest.mark.parametrize(("name", "reason"), [
    ("hidden", "No such file or directory"), ("read_only", "Read-only file system"),
])  # fmt: skip
def test_a_folder_that_a_worker_cannot_write_to_fails(two_hosts, folders, name, reason):
    output = folders[name] / "work/model"
    (found,) = written(subject(two_hosts, output, folders["shared"]))
    assert found.state == "fails"
    assert found.text.startswith(f"{folders[name]} is not written by 1 of 2 workers ({reason}: tcp")
    assert "mount the same file system there" in found.text
    assert [file.name for file in folders[name].iterdir()] == ["labels.csv"]


def test_a_folder_that_all_share_is_well_and_is_left_as_it_was(two_hosts, folders):
    (found,) = written(subject(two_hosts, folders["shared"] / "work/model", folders["shared"]))
    assert found.state == "ok"
    assert found.text == f"{folders['shared']} is written by all workers (2)"
    assert [file.name for file in folders["shared"].iterdir()] == ["labels.csv"]


def test_input_that_a_worker_cannot_see_fails(two_hosts, folders):
    labels = folders["hidden"] / "labels.csv"
    (found,) = read(subject(two_hosts, folders["shared"], labels))
    assert found.state == "fails"
    assert found.text.startswith(f"{labels} is not read by 1 of 2 workers (No such file")


def test_input_that_differs_on_a_worker_fails(two_hosts, folders):
    (found,) = read(subject(two_hosts, folders["shared"], folders["hidden"]))
    assert found.state == "fails"
    assert "(it holds something else there: tcp" in found.text


def test_input_that_all_see_is_well(two_hosts, folders):
    (found,) = read(subject(two_hosts, folders["shared"], folders["read_only"] / "labels.csv"))
    assert found.state == "ok"


def test_without_a_job_the_working_directory_is_tried(two_hosts, folders, monkeypatch):
    monkeypatch.chdir(folders["hidden"])
    (found,) = written(Subject(ClusterSection(), None, two_hosts))
    assert found.state == "fails"
    assert str(folders["hidden"]) in found.text


def test_a_place_that_cannot_be_written_from_here_fails(client):
    (found,) = written(
        Subject(ClusterSection(), make_job({"model": {"path": "/proc/x"}}, "test"), client)
    )
    assert found.state == "fails"
    assert found.text.startswith("/proc cannot be written from here (")
