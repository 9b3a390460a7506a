"""Hosts on a switch, as network namespaces: what runs on them can be cut off from the others."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pytest

NETWORK = "10.77.0"


class Hosts:
    """Hosts that reach each other, and nothing else.

    Parameters
    ----------
    names : sequence of str
        Names of the hosts, of a letter each.
    logs : pathlib.Path
        Folder for what is printed on them.
    """

    def __init__(self, names: Sequence[str], logs: Path) -> None:
        self._logs = logs
        self._prefix = f"rrl{os.getpid()}"
        self._namespaces: list[str] = []
        self._started: list[subprocess.Popen[bytes]] = []
        self.addresses = {name: f"{NETWORK}.{i}" for i, name in enumerate(names, start=1)}

    def __enter__(self) -> Self:
        if os.geteuid() != 0 or shutil.which("ip") is None:
            pytest.skip("hosts are made by root, with ip (Debian's package iproute2)")
        try:
            self._make()
        except subprocess.CalledProcessError as error:
            self._delete()
            pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._delete()

    def _make(self) -> None:
        switch = self._namespace("switch")
        _ip("-n", switch, "link", "add", "switch", "type", "bridge")
        _ip("-n", switch, "link", "set", "switch", "up")
        for host, address in self.addresses.items():
            namespace = self._namespace(host)
            _ip(
                "-n", switch, "link", "add", f"port-{host}", "type", "veth",
                "peer", "name", "eth0", "netns", namespace,
            )  # fmt: skip
            _ip("-n", switch, "link", "set", f"port-{host}", "master", "switch", "up")
            _ip("-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
            for link in ("lo", "eth0"):
                _ip("-n", namespace, "link", "set", link, "up")

    def _namespace(self, name: str) -> str:
        namespace = f"{self._prefix}-{name}"
        _ip("netns", "add", namespace)
        self._namespaces.append(namespace)
        return namespace

    def _delete(self) -> None:
        for namespace in self._namespaces:
            _ip("netns", "delete", namespace)

    def cut(self, host: str) -> None:
        """Cut a host off, silently: nobody is told, and what runs there runs on."""
        _ip("-n", f"{self._prefix}-switch", "link", "set", f"port-{host}", "down")

    def start(self, host: str, *command: str, **environment: str) -> None:
        """Start a command on a host; it ends with the hosts at the latest."""
        with (self._logs / f"{host}-{len(self._started)}.log").open("wb") as log:
            process = subprocess.Popen(
                self._on(host, command), env=os.environ | environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._started.append(process)

    def run(self, host: str, *command: str, **environment: str) -> Any:
        """Run a command on a host to its end."""
        return subprocess.run(
            self._on(host, command), env=os.environ | environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip

    def _on(self, host: str, command: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", f"{self._prefix}-{host}", *command]


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)  # noqa: S607
