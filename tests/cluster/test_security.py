"""Who may connect to a scheduler that encrypts, and what is said to the others."""

import asyncio
import runpy
import shutil
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dask
import pytest
from distributed import Client, Scheduler, Worker
from distributed.utils import LoopRunner

from rrl_batch.cluster import handshake
from rrl_batch.cluster.connect import connect
from rrl_batch.cluster.handshake import noticing_loss, reach
from rrl_batch.cluster.security import TLS_VARIABLE, make_security
from rrl_batch.errors import RunError, SchedulerLostError, UserError
from rrl_batch.job import ClusterSection

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "deploy/tls/certificates.py"))


@contextmanager
def scheduler(folder, worker=None):
    """Run a scheduler on 127.0.0.1 with the certificate of a folder, and perhaps a worker."""
    runner = LoopRunner(asynchronous=False)
    runner.start()

    async def start():
        started = await Scheduler(
            protocol="tls://", host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0",
            security=make_security(folder),
        )  # fmt: skip
        servers.append(started)
        if worker:
            servers.append(await Worker(
                started.address, nthreads=1, dashboard_address="127.0.0.1:0",
                security=make_security(worker),
            ))  # fmt: skip
        return started.address

    async def close():
        for server in reversed(servers):
            await server.close()

    servers = []
    try:
        yield runner.run_sync(start)
    finally:
        runner.run_sync(close)
        runner.stop()


@pytest.fixture(scope="module")
def address(certificates):
    with scheduler(certificates / "scheduler", certificates / "worker") as address:
        yield address


@pytest.fixture
def others(tmp_path):
    """Certificates of another authority."""
    SCRIPT["make_authority"](tmp_path)
    SCRIPT["make_certificate"](tmp_path, "client", "client")
    return tmp_path / "client"


def sum_on(address, folder=None):
    with connect(ClusterSection(kind="address", address=address, tls=folder)) as client:
        return client.submit(sum, [1, 2]).result(timeout=60)


def refused(address, folder=None):
    with pytest.raises(UserError) as error:
        next(connect(ClusterSection(kind="address", address=address, tls=folder)).gen)
    assert str(error.value).endswith(".")
    return str(error.value)


def test_a_client_with_a_certificate_computes(address, certificates):
    assert sum_on(address, certificates / "client") == 3
    assert sum_on(address.removeprefix("tls://"), certificates / "client") == 3


def test_the_folder_may_come_from_the_environment(address, certificates, monkeypatch):
    monkeypatch.setenv(TLS_VARIABLE, str(certificates / "client"))
    assert sum_on(address) == 3


def test_dasks_own_configuration_holds_where_no_folder_is_given(address, certificates):
    tls = {"ca-file": "ca.crt", "client.cert": "tls.crt", "client.key": "tls.key"}
    paths = {key: str(certificates / "client" / name) for key, name in tls.items()}
    with dask.config.set({f"distributed.comm.tls.{key}": path for key, path in paths.items()}):
        assert sum_on(address) == 3


def test_a_client_without_a_certificate_is_told_how_to_give_one(address):
    assert "asks for a certificate; name the folder of yours with --tls, clu" in refused(address)


def test_an_address_without_encryption_is_noticed(address, certificates, monkeypatch):
    monkeypatch.setattr(handshake, "_SILENCE_SECONDS", 0.2)
    plain = address.replace("tls://", "tcp://")
    assert f"speaks TLS; write {address}, and name the folder" in refused(plain)
    assert f"is not encrypted; write {address}, or give none" in refused(
        plain, certificates / "client"
    )


def test_a_scheduler_that_does_not_encrypt_is_noticed(client, certificates):
    plain = client.scheduler.address
    assert "does not encrypt; start it with certificates, or" in refused(
        plain.replace("tcp://", "tls://"), certificates / "client"
    )


def test_another_authority_is_refused_by_either_side(address, certificates, others):
    assert "is not signed by the authority in your folder" in refused(address, others)
    shutil.copy(certificates / "client/ca.crt", others)  # so that only the scheduler objects
    assert "tls.crt: its authority is not the scheduler's; ask for" in refused(address, others)


def test_a_certificate_that_has_ended_is_refused_by_either_side(address, certificates, tmp_path):
    shutil.copytree(certificates / "authority", tmp_path / "authority")
    make = SCRIPT["make_certificate"]
    make(tmp_path, "client", "client", days=0)
    make(tmp_path, "scheduler", "scheduler", ["127.0.0.1"], days=0)
    assert "it has expired; renew it" in refused(address, tmp_path / "client")
    with scheduler(tmp_path / "scheduler") as ended:
        assert "of the scheduler at tls://127.0.0.1" in (
            said := refused(ended, certificates / "client")
        )
        assert "has expired; renew it and start the scheduler again" in said


def test_the_schedulers_name_is_checked_by_the_connection_itself(certificates, tmp_path):
    shutil.copytree(certificates / "authority", tmp_path / "authority")
    SCRIPT["make_certificate"](tmp_path, "scheduler", "scheduler", ["head", "192.0.2.1"])
    with scheduler(tmp_path / "scheduler") as other:
        assert "is for head, 192.0.2.1; connect to one of these, or make it for 127.0.0.1" in (
            refused(other, certificates / "client")
        )
        with pytest.raises(OSError, match="certificate does not match"):
            Client(other, security=make_security(certificates / "client"), timeout="5 s")


def test_a_clients_certificate_cannot_stand_in_for_a_scheduler(certificates):
    with scheduler(certificates / "client") as pretender:
        assert "is not one for schedulers" in refused(pretender, certificates / "client")


@pytest.fixture
def silent():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_silence_and_refusal_are_failures_of_the_run(silent, certificates, monkeypatch):
    monkeypatch.setattr(handshake, "_CONNECT_SECONDS", 0.2)
    security = make_security(certificates / "client")
    with pytest.raises(RunError, match=r"No scheduler answers at tls://127.*timed out"):
        reach(silent, security)
    with pytest.raises(RunError, match=r"No scheduler answers at tls://127.0.0.1:9 .*refused"):
        reach("tls://127.0.0.1:9", security)
    with pytest.raises(UserError, match=r"'tls://head' is not a scheduler's address; it reads"):
        reach("head", security)


def test_a_lost_scheduler_is_told_from_a_fault_of_the_work(certificates):
    with scheduler(certificates / "scheduler") as there:
        client = Client(there, security=make_security(certificates / "client"))
        with pytest.raises(ValueError, match="of the work"), noticing_loss(client):
            raise ValueError("of the work")
    message = r"is lost; give .* \(No scheduler answers at tls:"
    with pytest.raises(SchedulerLostError, match=message), noticing_loss(client):
        raise asyncio.CancelledError
    client.close()


def spoil(folder, name):
    (folder / name).write_text("nothing")


@pytest.mark.parametrize(("change", "sentence"), [
    (lambda folder: (folder / "tls.key").unlink(), "tls.key cannot be read (No such file or dir"),
    (lambda folder: (folder / "tls.key").chmod(0o644), "Everybody on this machine can read the"),
    (lambda folder: spoil(folder, "ca.crt"), "ca.crt is no certificate"),
    (lambda folder: spoil(folder, "tls.crt"), "cannot be used; make them again"),
    (lambda folder: shutil.copy(folder.parent / "worker/tls.key", folder), "different pairs"),
], ids=["missing", "open", "authority", "certificate", "mixed"])  # fmt: skip
def test_files_that_cannot_serve_are_named(certificates, tmp_path, change, sentence):
    for role in ("client", "worker"):
        shutil.copytree(certificates / role, tmp_path / role)
    change(tmp_path / "client")
    with pytest.raises(UserError) as error:
        make_security(tmp_path / "client")
    assert sentence in str(error.value)


def test_a_clients_certificate_starts_no_cluster(certificates):
    make_security(certificates / "scheduler", serves=True)
    with pytest.raises(UserError, match=r"client/tls\.crt is for clients only; name the folder"):
        make_security(certificates / "client", serves=True)


def test_a_key_with_a_password_is_refused_and_not_asked_for(certificates, tmp_path):
    from cryptography.hazmat.primitives import serialization as pem

    folder = shutil.copytree(certificates / "client", tmp_path / "client")
    key = pem.load_pem_private_key((folder / "tls.key").read_bytes(), None)
    locked = pem.BestAvailableEncryption(b"secret")
    (folder / "tls.key").write_bytes(
        key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, locked)
    )
    with pytest.raises(UserError, match="has a password"):
        make_security(folder)


def test_a_web_server_is_no_scheduler():
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = f"tcp://127.0.0.1:{server.server_port}"
        assert "is a web server, the dashboard perhaps, and no scheduler" in refused(where)
        server.shutdown()
    assert "it reads tcp://HOST:PORT or tls://HOST:PORT" in refused("http://127.0.0.1:8787")
