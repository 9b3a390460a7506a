"""Who may connect: the certificates of what crosses hosts, and what is wrong with their files.

Dask lets in whoever has a certificate of the cluster's authority, and compares no names. A client
made here compares the scheduler's, so that no other holder of a certificate can pass itself off as
the scheduler, whose answers a client unpickles.
"""

import os
import ssl
import stat
from pathlib import Path
from typing import Any, NoReturn

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from distributed import Security

from rrl_batch.errors import UserError

TLS_VARIABLE = "RRL_BATCH_TLS"
"""Environment variable that names the folder of certificates where nothing else does."""

README = "deploy/tls/README.md"
"""Says how certificates are made."""

CA, CERTIFICATE, KEY = "ca.crt", "tls.crt", "tls.key"
"""Files of a folder of certificates, named as in a Kubernetes secret."""

_FIELDS = {"tls_ca_file": CA} | {
    f"tls_{role}_{part}": name
    for role in ("client", "scheduler", "worker")
    for part, name in (("cert", CERTIFICATE), ("key", KEY))
}


class NamedSecurity(Security):
    """Certificates with which a client also checks the scheduler's name."""

    def get_connection_args(self, role: str) -> dict[str, Any]:
        """Return the arguments of a connection; those of a client compare names."""
        arguments: dict[str, Any] = super().get_connection_args(role)
        if role == "client":
            arguments["ssl_context"].check_hostname = True
        return arguments


def make_security(folder: Path | None = None, *, serves: bool = False) -> Security:
    """Return the certificates with which this process, or a cluster that it starts, connects.

    Parameters
    ----------
    folder : pathlib.Path, optional
        Holds ca.crt, tls.crt and tls.key. If not given, that of the environment variable
        RRL_BATCH_TLS; without that, what Dask's configuration has (``distributed.comm.tls``).
    serves : bool
        Whether a scheduler and workers are started with it.

    Returns
    -------
    distributed.Security
        If there is a folder, it requires encryption, with one certificate for client, scheduler
        and workers. Without certificates it encrypts nothing.

    Raises
    ------
    UserError
        If a file is missing or not what it should be, everybody can read the key, or a scheduler
        could not use the certificate.
    """
    if folder is None and (named := os.environ.get(TLS_VARIABLE)):
        folder = Path(named)
    if folder is None:
        security = Security()
    else:
        paths = {field: str((folder / name).absolute()) for field, name in _FIELDS.items()}
        security = NamedSecurity(require_encryption=True, **paths)
    tls = security.get_tls_config_for_role("client")
    if tls["ca_file"] and tls["cert"]:
        _check_files(tls["ca_file"], tls["cert"], tls["key"] or tls["cert"])
    if serves and folder is not None:
        _check_use(folder / CERTIFICATE)
    return security


def _check_files(ca: str, certificate: str, key: str) -> None:
    for path in (ca, certificate, key):
        try:
            Path(path).open("rb").close()
        except OSError as error:
            raise UserError(
                f"{path} cannot be read ({error.strerror}); a folder of certificates holds "
                f"{CA}, {CERTIFICATE} and {KEY} ({README})."
            ) from None
    if Path(key).stat().st_mode & stat.S_IROTH:
        raise UserError(f"Everybody on this machine can read the key {key}; 'chmod 600 {key}'.")

    def no_password() -> NoReturn:
        raise UserError(f"The key {key} has a password; Dask could not ask for it on a worker.")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError:
        raise UserError(f"{ca} is no certificate; make it again ({README}).") from None
    try:
        context.load_cert_chain(certificate, key, no_password)
    except ssl.SSLError as error:
        mixed = error.reason == "KEY_VALUES_MISMATCH"
        wrong = "belong to different pairs" if mixed else "cannot be used"
        raise UserError(
            f"The certificate {certificate} and the key {key} {wrong}; make them again ({README})."
        ) from None


def _check_use(certificate: Path) -> None:
    """Check that a certificate is not for clients only."""
    uses = x509.load_pem_x509_certificate(certificate.read_bytes()).extensions
    try:
        allowed = uses.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if ExtendedKeyUsageOID.SERVER_AUTH not in allowed:
        raise UserError(
            f"The certificate {certificate} is for clients only; name the folder of one for "
            f"schedulers, as 'certificates.py scheduler' makes it ({README})."
        )
