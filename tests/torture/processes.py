"""The processes of a torture: a cluster that can be killed, and commands that can be killed.

A command runs in a fork of this process, which has imported everything and started no thread, so
that a command costs what it does and not what Python's imports do.
"""

import importlib.util
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INJECTED = Path(__file__).parent / "injected"

HOST = """
import asyncio, sys, time
import dask
from distributed import Client, LocalCluster
from distributed.chaos import KillWorker
from rrl_batch.cluster.environment import settings

if __name__ == "__main__":
    workers, delay = int(sys.argv[1]), float(sys.argv[2])
    with dask.config.set(settings()):
        cluster = LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1",
            dashboard_address=None,
        )
        if delay:
            # who dies while it starts is not started anew by its nanny, but as if by a queue
            dask.config.set({"distributed.deploy.lost-worker-timeout": "5s"})
            cluster.adapt(minimum=workers, maximum=workers)
            with Client(cluster) as client:
                client.register_plugin(KillWorker(delay=delay, mode="segfault"))
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


_KILLED = ("Restarting worker", "Worker failed to connect")


class Cluster:
    """A `LocalCluster` of processes in a process of its own, which is its scheduler.

    Parameters
    ----------
    folder : pathlib.Path
        Where its plan is, for `injected/sitecustomize.py`, and what it prints.
    workers : int
        Number of worker processes.
    kill_every : float
        Time after which a worker is killed, in s, on average; 0: none is.
    """

    def __init__(self, folder: Path, workers: int, kill_every: float = 0.0) -> None:
        script = folder / "host.py"
        script.write_text(HOST)
        self._log = folder / "cluster.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, script, str(workers), str(kill_every)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                env=environment(folder), start_new_session=True,
            )  # fmt: skip
        self.address = self._process.stdout.readline().strip()
        assert self.address, f"the cluster has not started: {self._log.read_text()}"

    @property
    def workers_killed(self) -> int:
        """How many workers `KillWorker` has killed, in all clusters of its folder."""
        said = self._log.read_text(errors="replace")
        return sum(map(said.count, _KILLED))

    @property
    def runs(self) -> bool:
        """Whether its scheduler is there."""
        return self._process.poll() is None

    def what_it_does(self) -> str:
        """Return what its processes have printed, with what their threads do just now."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGUSR1)
        time.sleep(2.0)
        return self._log.read_text(errors="replace")

    def kill(self) -> None:
        """Kill the scheduler, of which the workers die, and whatever is left of them."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """End all of it, stalled processes too."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a process into which faults are injected."""
    path = os.pathsep.join([str(INJECTED), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path, "RRL_TORTURE": str(folder)}


def preload() -> None:
    """Import what commands need, once for all that are forked from this process."""
    import rrl_batch.cli.surveys
    import rrl_batch.cluster.connect
    import rrl_batch.cluster.dashboard.plugin
    import rrl_batch.run  # noqa: F401


_NUMBERS = itertools.count()


class Command:
    """A command of `rrl-batch` in a process of its own.

    Parameters
    ----------
    words : sequence of str
        Its command line, without the program.
    folder : pathlib.Path
        Where its plan is, and what it prints.
    """

    def __init__(self, words: Sequence[str], folder: Path) -> None:
        self._log = folder / f"command-{next(_NUMBERS)}.log"
        self.pid = os.fork()
        if not self.pid:
            _become(lambda: _command(words, folder), self._log)

    def wait(self, seconds: float) -> int | None:
        """Return its exit code, negative if a signal ended it; None if it has not ended by then."""
        time.sleep(seconds)
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def tell_what_it_does(self) -> None:
        """Let it print what its threads do just now."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGUSR1)

    def kill(self) -> None:
        """Kill it."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    @property
    def said(self) -> str:
        """What it has printed."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""


def _become(main: Callable[[], int], log: Path) -> None:
    """Be another process, which prints to a file and ends with a function."""
    code = 70
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(descriptor, stream)
        code = main()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _command(words: Sequence[str], folder: Path) -> int:
    from rrl_batch.cli import main

    os.environ.update(environment(folder))
    spec = importlib.util.spec_from_file_location("injected", INJECTED / "sitecustomize.py")
    faults = importlib.util.module_from_spec(spec)
    faults.ROLE = "driver"
    spec.loader.exec_module(faults)
    return main(list(words))


def asked(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process of its own, and return what it returns, as JSON has it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reader)
        with os.fdopen(writer, "w") as file:
            json.dump(function(*arguments), file)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"{function.__name__} has failed"
    return json.loads(text)


@dataclass(frozen=True)
class Disk:
    """A disk in memory.

    Parameters
    ----------
    folder : pathlib.Path
        Where it is mounted.
    """

    folder: Path

    def remount(self, options: str) -> bool:
        """Mount it with other options, if that is possible just now."""
        return _mount("-o", f"remount,{options}", self.folder)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Disk | None]:
    """Let a folder be a disk of its own, of so many bytes; yield None if that is not possible.

    What is on it in the end stays in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not _mount("-t", "tmpfs", "-o", f"size={size}", folder):
        yield None
        return
    kept = folder.with_name("kept")
    try:
        yield Disk(folder)
        shutil.copytree(folder, kept)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
    folder.rmdir()
    kept.rename(folder)


def _mount(*options: str | Path) -> bool:
    words = ["mount", *options[:-1], "tmpfs", options[-1]]
    try:
        return subprocess.run(words, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False
