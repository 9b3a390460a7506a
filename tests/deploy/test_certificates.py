"""The script that makes the certificates of a cluster."""

import runpy
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "deploy/tls/certificates.py"))
main = SCRIPT["main"]


def certificate(folder: Path, name: str = "tls.crt") -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / name).read_bytes())


def test_each_holder_has_a_folder_that_openssl_accepts(certificates):
    authority = certificates / "authority/ca.crt"
    for role in ("scheduler", "worker", "client"):
        folder = certificates / role
        assert {file.name for file in folder.iterdir()} == {"ca.crt", "tls.crt", "tls.key"}
        assert (folder / "ca.crt").read_bytes() == authority.read_bytes()
        context = ssl.create_default_context(cafile=folder / "ca.crt")
        context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        certificate(folder).verify_directly_issued_by(certificate(authority.parent, "ca.crt"))


def test_only_the_owner_reads_a_key_or_enters_a_folder(certificates):
    keys = [*certificates.rglob("*.key")]
    assert len(keys) == 4
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    assert {stat.S_IMODE(key.parent.stat().st_mode) for key in keys} == {0o700}


def test_strict_rules_of_the_web_hold_too(tmp_path):
    assert main(["authority", str(tmp_path)]) == 0
    assert main(["scheduler", str(tmp_path), "head.example.org", "192.0.2.1", "fe80::1"]) == 0
    store = Store([certificate(tmp_path / "authority", "ca.crt")])
    verifier = PolicyBuilder().store(store)
    ours = certificate(tmp_path / "scheduler")
    verifier.build_server_verifier(x509.DNSName("head.example.org")).verify(ours, [])
    names = ours.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["head.example.org", "192.0.2.1", "fe80::1"]


def test_a_clients_certificate_is_for_clients_only(certificates):
    use = x509.ExtendedKeyUsage
    client, worker = (
        certificate(certificates / role).extensions.get_extension_for_class(use).value
        for role in ("client", "worker")
    )
    assert {usage._name for usage in client} == {"clientAuth"}
    assert {usage._name for usage in worker} == {"serverAuth", "clientAuth"}


def test_nothing_is_overwritten(tmp_path, capsys):
    main(["authority", str(tmp_path)])
    main(["client", str(tmp_path), "eva"])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    for again in (["authority", str(tmp_path)], ["client", str(tmp_path), "eva"]):
        assert main(again) == 2
        assert "is there already; delete it first" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_renewal_keeps_key_and_names_and_moves_the_end(tmp_path):
    main(["authority", str(tmp_path)])
    main(["scheduler", str(tmp_path), "head", "--days", "2"])
    folder = tmp_path / "scheduler"
    old, key = certificate(folder), (folder / "tls.key").read_bytes()
    assert main(["renew", str(folder), "--days", "30"]) == 0
    new = certificate(folder)
    assert new.not_valid_after_utc - old.not_valid_after_utc > timedelta(days=27)
    assert new.serial_number != old.serial_number
    assert new.subject == old.subject
    assert {e.oid: e.value for e in new.extensions} == {e.oid: e.value for e in old.extensions}
    assert (folder / "tls.key").read_bytes() == key
    ssl.create_default_context().load_cert_chain(folder / "tls.crt", folder / "tls.key")


def test_no_certificate_outlives_its_authority(tmp_path, capsys):
    main(["authority", str(tmp_path), "--days", "10"])
    main(["client", str(tmp_path), "--days", "365"])
    end = certificate(tmp_path / "client").not_valid_after_utc
    assert end < datetime.now(UTC) + timedelta(days=10, seconds=1)
    SCRIPT["make_authority"](tmp_path / "ended", days=0)
    assert main(["client", str(tmp_path / "ended")]) == 2
    assert "make another authority" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["scheduler", "ROOT", "tls://head"], "'tls://head' is neither a host name nor an address; gi"),
    (["scheduler", "ROOT", "head:8786"], "without tls:// and without a port"),
    (["client", "ROOT", "../eva"], "'../eva' is no name of a user"),
    (["client", "ROOT", "--days", "0"], "--days 0 is not between 1 and 36500"),
    (["client", "ROOT/elsewhere"], "authority/ca.crt cannot be read (No such file or directory)"),
    (["renew", "ROOT/nobody"], "nobody/tls.crt cannot be read"),
    (["renew", "ROOT/broken"], "broken/tls.crt is not a certificate"),
    (["client", "ROOT/mixed"], "ca.key is not the key of"),
])  # fmt: skip
def test_a_mistake_is_a_sentence(tmp_path, capsys, arguments, sentence):
    for root in (tmp_path, tmp_path / "mixed"):
        main(["authority", str(root)])
    (tmp_path / "mixed/authority/ca.key").write_bytes((tmp_path / "authority/ca.key").read_bytes())
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/tls.crt").write_text("not a certificate")
    assert main([argument.replace("ROOT", str(tmp_path)) for argument in arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("certificates.py: ")
    assert said.count("\n") == 1
    assert sentence in said
