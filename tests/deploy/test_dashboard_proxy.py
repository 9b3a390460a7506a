"""The dashboard behind nginx, as deploy/tls/dashboard.conf has it."""

import getpass
import os
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tornado.httpclient import HTTPRequest
from tornado.ioloop import IOLoop
from tornado.websocket import websocket_connect

CONFIGURATION = Path(__file__).parents[2] / "deploy/tls/dashboard.conf"
WITH_PASSWORD = {"Authorization": "Basic " + b64encode(b"eva:secret").decode()}


@pytest.fixture(scope="module")
def proxy(client, certificates, tmp_path_factory):
    """Address of nginx in front of the dashboard of a cluster."""
    if shutil.which("nginx") is None or shutil.which("openssl") is None:
        pytest.skip("nginx (Debian's package nginx-light) and openssl are not here")
    folder = tmp_path_factory.mktemp("nginx")
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", "secret"],  # noqa: S607
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (folder / "dashboard.passwords").write_text(f"eva:{hashed.stdout}")
    for name in ("tls.crt", "tls.key"):
        shutil.copy(certificates / "scheduler" / name, folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    site = CONFIGURATION.read_text()
    for theirs, ours in (
        ("listen 443", f"listen 127.0.0.1:{port}"), ("/etc/nginx", str(folder)),
        ("127.0.0.1:8787", urlsplit(client.dashboard_link).netloc),
    ):  # fmt: skip
        assert theirs in site
        site = site.replace(theirs, ours)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
    whole = f"{user} daemon off; pid {folder}/pid; error_log {folder}/log; events {{}}\n"
    whole += f"http {{ access_log off; {temporary}\n{site} }}\n"
    (folder / "nginx.conf").write_text(whole)
    nginx = subprocess.Popen(["nginx", "-c", folder / "nginx.conf", "-e", folder / "log"])  # noqa: S607
    try:
        for _ in range(600):
            with socket.socket() as attempt:
                if attempt.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert nginx.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        nginx.terminate()
        nginx.wait()


@pytest.fixture(scope="module")
def trust(certificates):
    return ssl.create_default_context(cafile=certificates / "authority/ca.crt")


def test_nobody_sees_the_dashboard_without_a_password(proxy, trust):
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"https://{proxy}/status", context=trust)
    assert error.value.code == 401
    error.value.close()


def test_with_the_password_it_is_there(proxy, trust):
    request = urllib.request.Request(f"https://{proxy}/status", headers=WITH_PASSWORD)
    with urllib.request.urlopen(request, context=trust) as answer:  # noqa: S310
        assert b"Dask" in answer.read()


def test_pages_are_filled_through_the_proxy(proxy, trust):
    request = HTTPRequest(f"wss://{proxy}/eventstream", headers=WITH_PASSWORD, ssl_options=trust)

    async def connect():
        connection = await websocket_connect(request)
        switched = connection.protocol is not None
        connection.close()
        return switched

    loop = IOLoop(make_current=False)
    try:
        assert loop.run_sync(connect)
    finally:
        loop.close()
