"""Shake hands with a scheduler apart from Dask, to say in a sentence why Dask fails to."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from distributed import Client, Security
from distributed.comm import parse_address
from distributed.comm.addressing import parse_host_port

from rrl_batch.cluster.security import README, TLS_VARIABLE
from rrl_batch.errors import RunError, SchedulerLostError, UserError

_CONNECT_SECONDS = 10.0
_SILENCE_SECONDS = 3.0

# of OpenSSL's x509_vfy.h
_NOT_YET_VALID, _EXPIRED, _OTHER_USE, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 26, 62, 64


def reach(address: str, security: Security) -> str:
    """Check that a scheduler answers, and that it and this client accept each other.

    Dask itself would only say that a connection was closed, or wait.

    Parameters
    ----------
    address : str
        The scheduler's; without tcp:// or tls://, it is the latter where encryption is required.
    security : distributed.Security
        The client's certificates.

    Returns
    -------
    str
        The whole address.

    Raises
    ------
    UserError
        If the address is none, or one side does not accept the other.
    RunError
        If no scheduler answers.
    """
    if "://" not in address:
        address = f"{'tls' if security.require_encryption else 'tcp'}://{address}"
    scheme, location = parse_address(address)
    if scheme not in ("tcp", "tls", "http", "https"):
        return address
    try:
        host, port = parse_host_port(location)
        if scheme.startswith("http"):
            raise ValueError(scheme)
    except ValueError:
        raise UserError(
            f"'{address}' is not a scheduler's address; it reads tcp://HOST:PORT or tls://HOST:PORT."
        ) from None
    try:
        if scheme == "tls":
            _try_tls(address, host, port, security)
        else:
            _try_tcp(address, host, port, security)
    except OSError as error:
        raise RunError(
            f"No scheduler answers at {address} ({error}); is 'dask scheduler' running there, and "
            f"does the network let this machine through?"
        ) from None
    return address


@contextmanager
def noticing_loss(client: Client) -> Iterator[None]:
    """Say that the scheduler is out of reach, if that is why the block fails.

    Dask fails in many ways then: connections are closed, results cancelled, answers late.

    Raises
    ------
    SchedulerLostError
        If the block fails, and the scheduler does not answer.
    """
    address, security = client.scheduler.address, client.security
    try:
        yield
    except (UserError, RunError):
        raise
    except (Exception, asyncio.CancelledError):
        try:
            reach(address, security)
        except (UserError, RunError) as error:
            raise SchedulerLostError(
                f"The connection to the scheduler is lost; give the same command again when it is "
                f"back, or there is another. ({error})"
            ) from None
        raise


def _try_tcp(address: str, host: str, port: int, security: Security) -> None:
    if security.require_encryption:
        raise UserError(
            f"Certificates are given, but {address} is not encrypted; write tls://{host}:{port}, "
            f"or give none."
        )
    if _speaks_first(host, port):
        return
    if _speaks_http(host, port):
        raise UserError(
            f"What answers at {address} is a web server, the dashboard perhaps, and no scheduler; "
            f"give the scheduler's port, most often 8786."
        )
    if _speaks_tls(host, port):
        raise UserError(
            f"The scheduler at {address} speaks TLS; write tls://{host}:{port}, and name the "
            f"folder of your certificate with --tls, cluster.tls or {TLS_VARIABLE} ({README})."
        )


def _try_tls(address: str, host: str, port: int, security: Security) -> None:
    context = security.get_connection_args("client")["ssl_context"]
    if context is None:
        raise UserError(
            f"{address} asks for a certificate; name the folder of yours with --tls, cluster.tls "
            f"or {TLS_VARIABLE} ({README} says how to make one)."
        )
    try:
        with (
            _connected(host, port) as plain,
            context.wrap_socket(plain, server_hostname=host) as encrypted,
        ):
            # the scheduler speaks first, once it has accepted the client's certificate
            if not encrypted.recv(1):
                raise ConnectionResetError("it closed the connection")
    except ssl.SSLCertVerificationError as error:
        raise UserError(_about_theirs(error, address, host, port, context)) from None
    except ssl.SSLError as error:
        if "ALERT" in (error.reason or ""):
            raise UserError(_about_ours(error, address, security)) from None
        if _speaks_first(host, port):
            raise UserError(
                f"The scheduler at {address} does not encrypt; start it with certificates, or "
                f"write tcp://{host}:{port} and give none."
            ) from None
        raise


def _about_theirs(
    error: ssl.SSLCertVerificationError, address: str, host: str, port: int, context: ssl.SSLContext
) -> str:
    """Say why this client does not accept the scheduler's certificate, and what to do."""
    theirs = f"The certificate of the scheduler at {address}"
    if error.verify_code in (_OTHER_NAME, _OTHER_ADDRESS):
        names = ", ".join(_names(host, port, context)) or "no name at all"
        return f"{theirs} is for {names}; connect to one of these, or make it for {host}, too."
    if error.verify_code == _EXPIRED:
        return f"{theirs} has expired; renew it and start the scheduler again ({README})."
    if error.verify_code == _NOT_YET_VALID:
        return f"{theirs} is not valid yet; compare the clocks of both machines."
    if error.verify_code == _OTHER_USE:
        return f"{theirs} is not one for schedulers; make another ({README})."
    return (
        f"{theirs} is not signed by the authority in your folder of certificates "
        f"({error.verify_message}); ask for one that was made for this cluster."
    )


def _about_ours(error: ssl.SSLError, address: str, security: Security) -> str:
    """Say why the scheduler does not accept this client's certificate, and what to do."""
    ours = f"The scheduler at {address} refuses the certificate {security.tls_client_cert}"
    if "EXPIRED" in error.reason:
        return f"{ours}: it has expired; renew it ({README})."
    if "UNKNOWN_CA" in error.reason:
        return f"{ours}: its authority is not the scheduler's; ask for one of this cluster."
    return f"{ours}: {error.reason.lower().replace('_', ' ')}."


def _names(host: str, port: int, context: ssl.SSLContext) -> list[str]:
    """Return the names that the scheduler's certificate is for."""
    context.check_hostname = False
    with _connected(host, port) as plain, context.wrap_socket(plain) as encrypted:
        certificate = encrypted.getpeercert() or {}
    return [str(name[1]) for name in certificate.get("subjectAltName", ())]


def _connected(host: str, port: int) -> socket.socket:
    return socket.create_connection((host, port), timeout=_CONNECT_SECONDS)


def _speaks_first(host: str, port: int) -> bool:
    """Tell whether something comes unasked, as from a scheduler that does not encrypt."""
    with _connected(host, port) as plain:
        plain.settimeout(_SILENCE_SECONDS)
        try:
            return bool(plain.recv(1))
        except TimeoutError:
            return False


def _speaks_http(host: str, port: int) -> bool:
    """Tell whether a web server is there; Dask would wait for it without end."""
    with _connected(host, port) as plain:
        plain.settimeout(_SILENCE_SECONDS)
        try:
            plain.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
            return plain.recv(5) == b"HTTP/"
        except OSError:
            return False


def _speaks_tls(host: str, port: int) -> bool:
    """Tell whether TLS is spoken there, whoever it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with _connected(host, port) as plain, context.wrap_socket(plain):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except OSError:
        return False
