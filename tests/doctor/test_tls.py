"""Certificates of a cluster that encrypts: those that end soon, have ended or not begun."""

import runpy
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from distributed import LocalCluster

from rrl_batch.cluster.connect import connected
from rrl_batch.cluster.security import make_security
from rrl_batch.doctor.certificates import Certificate, _judged, of_the_client, of_the_cluster
from rrl_batch.doctor.subject import Subject
from rrl_batch.job import ClusterSection

MAKE = runpy.run_path(str(Path(__file__).parents[2] / "deploy/tls/certificates.py"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Certificates of 127.0.0.1 that end in a week."""
    root = tmp_path_factory.mktemp("doctor_tls")
    MAKE["make_authority"](root)
    MAKE["make_certificate"](root, "scheduler", "scheduler", ["127.0.0.1"], days=7)
    return root / "scheduler"


def test_certificates_of_client_and_cluster_are_looked_at(folder):
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tls", host="127.0.0.1",
        security=make_security(folder), dashboard_address="127.0.0.1:0",
    ) as cluster:  # fmt: skip
        section = ClusterSection(kind="address", address=cluster.scheduler_address, tls=folder)
        mine = list(of_the_client(Subject(section)))
        with connected(section) as client:
            theirs = list(of_the_cluster(Subject(section, None, client)))
    assert [found.state for found in mine] == ["ok", "warning"]
    assert mine[0].text.startswith(f"{folder}/ca.crt of this client is valid for 3,6")
    assert mine[1].text.startswith(f"{folder}/tls.crt of this client expires in 6 days; renew it")
    assert [found.state for found in theirs] == ["ok", "warning", "warning"]
    assert "of the scheduler expires in 6 days" in theirs[1].text
    assert "of the first of 1 workers expires in 6 days" in theirs[2].text


@pytest.mark.parametrize(("begins", "ends", "text"), [
    (-9, -2, "has expired on "), (2, 9, "compare the clocks of this machine and of"),
])  # fmt: skip
def test_a_certificate_that_is_not_valid_now_fails(begins, ends, text):
    now = datetime.now(UTC)
    certificate = Certificate("x.crt", now + timedelta(begins), now + timedelta(ends))
    found = _judged("me", certificate)
    assert found.state == "fails"
    assert text in found.text


@pytest.mark.parametrize(("address", "states"), [
    ("tcp://head:8786", ["warning"]), ("tcp://127.0.0.1:8786", []),
])  # fmt: skip
def test_a_scheduler_of_another_host_without_encryption_is_a_warning(address, states):
    found = of_the_client(Subject(ClusterSection(kind="address", address=address)))
    assert [finding.state for finding in found] == states
