"""Datasets in an object store: a real server of S3's protocol, moto's, on loopback."""

import os
import pickle
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pandas as pd
import pyarrow as pa
import pytest
from helpers import catalogue_rows, write_catalogue

from rrl_batch.catalogue.verify import read_catalogue, verify
from rrl_batch.cli import main
from rrl_batch.errors import RunError, UserError
from rrl_batch.storage import lease
from rrl_batch.storage.commit import checksum, replacing, write_json
from rrl_batch.storage.lock import sole_writer
from rrl_batch.storage.manifest import Claim, Manifest, adopt, claim, commit, completed, finished
from rrl_batch.storage.remote import content_of, path_of

pytest.importorskip("obstore", reason="the extra s3 is not installed")
SERVER = shutil.which("moto_server")
pytestmark = pytest.mark.skipif(SERVER is None, reason="moto_server (moto[server]) is not here")


@pytest.fixture(scope="module")
def store():
    """The environment that names a server with an empty bucket."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    environment = {
        "AWS_ENDPOINT_URL": address, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any",
    }  # fmt: skip
    command = [SERVER, "-H", "127.0.0.1", "-p", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **quiet) as server:
        make = urllib.request.Request(f"{address}/bucket", method="PUT")  # noqa: S310
        while True:
            try:
                urllib.request.urlopen(make).close()  # noqa: S310
                break
            except (urllib.error.URLError, ConnectionError):
                assert server.poll() is None
                time.sleep(0.2)
        yield environment
        server.terminate()


@pytest.fixture
def root(store, monkeypatch, request):
    for name, value in store.items():
        monkeypatch.setenv(name, value)
    return path_of(f"s3://bucket/{request.node.name}/data")


def test_an_object_is_put_whole_and_never_over_another_that_must_stay(root):
    with replacing(root / "x.txt", exclusive=True) as partial:
        partial.write_text("first")
        assert not (root / "x.txt").exists()
    with (
        pytest.raises(RunError, match=r"x\.txt was written by another run meanwhile"),
        replacing(root / "x.txt", exclusive=True) as partial,
    ):
        partial.write_text("second")
    assert content_of(root / "x.txt") == b"first"
    write_json(root / "x.txt", {"a": 1})
    assert content_of(root / "x.txt") == b'{\n "a": 1\n}\n'
    assert pickle.loads(pickle.dumps(root)) == root  # noqa: S301 -- as tasks travel


def test_what_does_not_read_back_is_told(root, monkeypatch):
    monkeypatch.setattr("rrl_batch.storage.remote.content_of", lambda _: b"other")
    with (
        pytest.raises(RunError, match="did not read back"),
        replacing(root / "x.txt") as partial,
    ):
        partial.write_text("mine")


def test_a_dataset_goes_on_and_is_completed_once(root):
    table = pa.table({"x": pa.array([1.0, float("nan"), None])})
    paths = [f"dataset/Npix={n}.new.parquet" for n in range(3)]
    assert claim(root, "catalogue", {"model": "a"}) == Claim(is_finished=False)
    old = commit(root, "dataset/Npix=0.old.parquet", table, "of 0")
    commit(root, "dataset/Npix=9.old.parquet", table, "stray")
    assert claim(root, "catalogue", {"model": "b"}).changed == ("model",)
    assert adopt(root, {path: f"of {n}" for n, path in enumerate(paths)}) == 1
    assert finished(root, paths[0], "of 0").sha256 == old.sha256 == checksum(root / paths[0])
    receipts = [commit(root, path, table, f"of {n}") for n, path in enumerate(paths)]
    manifest = Manifest("catalogue", 9, {}, receipts)
    manifest.write(root)
    kept = {f.path.removeprefix(f"{root.path}/") for f in root.rglob("*.parquet") if f.is_file()}
    assert kept == set(paths)
    assert Manifest.read(root) == completed(root) == manifest
    with pytest.raises(RunError, match=r"manifest\.json was written by another run meanwhile"):
        manifest.write(root)
    with pytest.raises(UserError, match=r"a finished catalogue of another job .*: model"):
        claim(root, "catalogue", {"model": "c"})


def test_a_catalogue_is_verified_and_read(root):
    write_catalogue(root, catalogue_rows())
    assert verify(root).faults == []
    rows = read_catalogue(str(root)).sort_values("source_id", ignore_index=True)
    expected = catalogue_rows().sort_values("source_id", ignore_index=True)
    assert rows["source_id"].equals(expected["source_id"])
    victim = next(f for f in root.rglob("Npix=*") if f.is_file())
    write_json(victim, "damaged")
    assert any("checksum differs" in fault for fault in verify(root).faults)


def test_page_and_figure_of_a_catalogue_are_written_into_the_store(root, capsys):
    rows = catalogue_rows()
    write_catalogue(root, rows)
    assert main(["report", str(root)]) == 0
    page = content_of(root / "summary" / "index.html").decode()
    assert f"Catalogue {root.parent.name}/data</h1>" in page
    figure = root.parent / "star.png"
    star = str(rows["source_id"][0])
    assert main(["star", star, "--catalogue", str(root), "--plot", str(figure)]) == 0
    assert content_of(figure).startswith(b"\x89PNG")
    assert str(figure) in capsys.readouterr().out


def test_a_whole_run_in_a_store_gives_what_a_disk_has(client, root, store, tmp_path):
    from rrl_batch import flow
    from rrl_batch.catalogue.recompute import recompute
    from rrl_batch.job import make_job
    from rrl_batch.sources.tables import read_labels
    from rrl_batch.survey.read import open_survey

    client.run(os.environ.update, store)
    training = {"select": "num_epochs_used >= 12 and phi31_error <= 1.0", "folds": 2}
    architecture = {"architecture": "ridge"}
    job = make_job(
        {"preprocess": {"points": 16}, "model": architecture, "training": training}, "test"
    )
    found = []
    for where in (root, tmp_path):
        labels = tmp_path / "labels.parquet"
        flow.simulate(client, 120, 7, where / "survey", labels)
        survey = open_survey(where / "survey")
        flow.train(client, survey, read_labels(labels, "true"), where / "model", job)
        flow.predict(client, survey, where / "model", where / "catalogue")
        assert verify(where / "catalogue").faults == []
        found.append(read_catalogue(where / "catalogue"))
    assert recompute(root / "catalogue", 50, 0) == (50, [])
    pd.testing.assert_frame_equal(*found, check_exact=True)


def test_of_two_runs_one_has_the_lease_and_a_dead_one_need_not_be_unlocked(root, monkeypatch):
    monkeypatch.setattr(lease, "_BEAT_SECONDS", 0.2)
    monkeypatch.setattr(lease, "_LOOK_SECONDS", 0.2)
    stopped = []
    monkeypatch.setattr(lease.os, "kill", lambda *_: stopped.append(True))
    with sole_writer([root], "/jobs/sky-1"):
        with (
            pytest.raises(UserError, match=r"The job sky-1 writes to s3://.* already"),
            sole_writer([root], "/jobs/sky-2"),
        ):
            pass
        # the holder stalls, as if it were dead, and wakes up when another has its place
        monkeypatch.setattr(lease, "_DEAD_SECONDS", 0.0)
        with sole_writer([root], "/jobs/sky-2"):
            while not stopped:
                time.sleep(0.05)
    with sole_writer([root], "/jobs/sky-3"):
        pass


def test_an_address_of_another_kind_is_refused():
    with pytest.raises(UserError, match=r"ftp://x/y is neither a path nor at s3://BUCKET/…"):
        path_of("ftp://x/y")
