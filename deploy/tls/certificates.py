"""Make the certificates of a Dask cluster: an authority of its own, and what it signs.

    python deploy/tls/certificates.py authority tls
    python deploy/tls/certificates.py scheduler tls head.example.org 192.0.2.1
    python deploy/tls/certificates.py worker    tls
    python deploy/tls/certificates.py client    tls eva
    python deploy/tls/certificates.py renew     tls/scheduler

Each holder gets a folder with ca.crt, tls.crt and tls.key, the names that Kubernetes has for them.
Nothing is overwritten, and nobody but the owner can read a key.
"""

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY = "authority"
CA_CERTIFICATE, CA_KEY, CERTIFICATE, KEY = "ca.crt", "ca.key", "tls.crt", "tls.key"
CA_DAYS, DAYS, MOST_DAYS = 3650, 365, 36500
CLOCK_DIFFERENCE = timedelta(minutes=5)
"""The hosts' clocks may differ by so much."""

# a client's certificate cannot stand in for a scheduler or a worker
USAGES = {
    "scheduler": (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
    "worker": (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
    "client": (ExtendedKeyUsageOID.CLIENT_AUTH,),
}


class UserError(Exception):
    """A mistake of the user's: the sentence names file and remedy."""


def make_authority(root: Path, days: int = CA_DAYS) -> x509.Certificate:
    """Make an authority, which signs certificates.

    Parameters
    ----------
    root : pathlib.Path
        Gets a folder `authority` with ca.crt and ca.key.
    days : int
        How long the authority is valid.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rrl_batch cluster authority")])
    certificate = (
        _builder(name, name, key.public_key(), days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write_folder(root / AUTHORITY, {CA_CERTIFICATE: _pem(certificate), CA_KEY: _key_pem(key)})
    return certificate


def make_certificate(
    root: Path, role: str, folder: str, names: Sequence[str] = (), days: int = DAYS
) -> x509.Certificate:
    """Make a certificate that the authority has signed.

    Parameters
    ----------
    root : pathlib.Path
        Folder with the authority; gets the certificate's own.
    role : str
        scheduler, worker or client.
    folder : str
        The folder's name, which is the holder's too.
    names : sequence of str
        Host names and addresses under which others connect to the holder.
    days : int
        How long it is valid, but not longer than the authority.
    """
    ca, ca_key = _read_authority(root)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, folder)])
    extensions: list[x509.ExtensionType] = [x509.ExtendedKeyUsage(USAGES[role])]
    if names:
        extensions.append(x509.SubjectAlternativeName(_general_names(names)))
    certificate = _sign(ca, ca_key, subject, key.public_key(), extensions, days)
    files = {CA_CERTIFICATE: _pem(ca), CERTIFICATE: _pem(certificate), KEY: _key_pem(key)}
    _write_folder(root / folder, files)
    return certificate


def renew(folder: Path, days: int = DAYS) -> x509.Certificate:
    """Make the certificate of a folder anew, with the same key and names, in one step.

    Parameters
    ----------
    folder : pathlib.Path
        As `make_certificate` has made it, beside the authority.
    days : int
        How long it is valid from now on.
    """
    path = folder / CERTIFICATE
    old = _read_certificate(path)
    ca, ca_key = _read_authority(folder.resolve().parent)
    kept = [
        extension.value
        for extension in old.extensions
        if isinstance(extension.value, x509.ExtendedKeyUsage | x509.SubjectAlternativeName)
    ]
    certificate = _sign(ca, ca_key, old.subject, old.public_key(), kept, days)
    new = path.with_suffix(".new")
    new.write_bytes(_pem(certificate))
    new.replace(path)
    return certificate


def _sign(
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    extensions: Iterable[x509.ExtensionType],
    days: int,
) -> x509.Certificate:
    if ca.not_valid_after_utc <= datetime.now(UTC):
        raise UserError(
            f"The authority's own certificate ended on {ca.not_valid_after_utc:%Y-%m-%d}; make "
            f"another authority, and all certificates, in another folder."
        )
    builder = (
        _builder(subject, ca.subject, public_key, days, ca.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(ca_key, hashes.SHA256())


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    days: int,
    latest: datetime | None = None,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    end = now + timedelta(days=days)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_DIFFERENCE)
        .not_valid_after(min(end, latest) if latest else end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_names(names: Sequence[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ip_address(name)))
        except ValueError:
            if not re.fullmatch(r"(\*\.)?[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*", name):
                raise UserError(
                    f"'{name}' is neither a host name nor an address; give it without tls:// and "
                    f"without a port."
                ) from None
            found.append(x509.DNSName(name))
    return found


def _read_authority(root: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    folder = root / AUTHORITY
    certificate = _read_certificate(folder / CA_CERTIFICATE)
    path = folder / CA_KEY
    try:
        key = load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is no key that can be used: {error}.") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != (
        certificate.public_key()
    ):
        raise UserError(f"{path} is not the key of {folder / CA_CERTIFICATE}.")
    return certificate, key


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(_read(path))
    except ValueError:
        raise UserError(f"{path} is not a certificate.") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        made = "; make it with 'authority'" if path.parent.name == AUTHORITY else ""
        raise UserError(f"{path} cannot be read ({error.strerror}){made}.") from None


def _write_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Write a folder that appears with all its files, or not at all."""
    if folder.exists():
        raise UserError(f"{folder} is there already; delete it first, if it shall be made again.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        new = Path(temporary, folder.name)
        new.mkdir(mode=0o700)
        for name, content in files.items():
            mode = 0o600 if name in (KEY, CA_KEY) else 0o644
            with os.fdopen(os.open(new / name, os.O_WRONLY | os.O_CREAT, mode), "wb") as file:
                file.write(content)
        new.rename(folder)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Make the certificates of a Dask cluster.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, days, text in (
        ("authority", CA_DAYS, "make the authority; its key signs, and stays with you"),
        ("scheduler", DAYS, "make FOLDER/scheduler, for the names that others connect to"),
        ("worker", DAYS, "make FOLDER/worker, for all workers"),
        ("client", DAYS, "make FOLDER/USER, for one user"),
        ("renew", DAYS, "make the certificate of FOLDER anew, with the same key and names"),
    ):
        command = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        command.add_argument("folder", type=Path)
        command.add_argument(
            "--days", type=int, default=days, help="validity (default %(default)s)"
        )
        if name == "scheduler":
            command.add_argument("names", nargs="+", help="host names and addresses")
        elif name == "worker":
            command.add_argument("names", nargs="*", help="host names and addresses, if known")
        elif name == "client":
            command.add_argument("user", nargs="?", default="client", help="default: %(default)s")
    return parser


def _make(options: argparse.Namespace) -> tuple[Path, x509.Certificate]:
    root, role, days = options.folder, options.command, options.days
    if not 1 <= days <= MOST_DAYS:
        raise UserError(f"--days {days} is not between 1 and {MOST_DAYS}.")
    if role == "authority":
        return root / AUTHORITY, make_authority(root, days)
    if role == "renew":
        return root, renew(root, days)
    folder, names = (options.user, ()) if role == "client" else (role, options.names)
    if not re.fullmatch(r"[\w.@-]+", folder) or folder.startswith("."):
        raise UserError(f"'{folder}' is no name of a user.")
    return root / folder, make_certificate(root, role, folder, names, days)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 0, or 2 for a mistake of the user's."""
    options = _parser().parse_args(arguments)
    try:
        folder, certificate = _make(options)
    except (UserError, OSError) as error:
        print(f"certificates.py: {error}", file=sys.stderr)
        return 2
    print(f"{folder}: valid until {certificate.not_valid_after_utc:%Y-%m-%d}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
