"""Services of a cluster for a test: in a folder of their own, on loopback, and ended with it."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SECONDS = 300.0
"""Longest that anything may take, on a machine that is busy with other things."""


def missing(*programs: str) -> list[str]:
    """Return what a sandbox lacks here: programs, or the rights of root."""
    lacking = [program for program in programs if shutil.which(program) is None]
    return lacking + ([] if os.getuid() == 0 else ["the rights of root"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(ready: Callable[[], bool], what: str) -> None:
    """Wait for something, but not for ever."""
    end = time.monotonic() + SECONDS
    while not ready():
        assert time.monotonic() < end, f"{what} has taken more than {SECONDS:.0f} s"
        time.sleep(0.1)


@contextmanager
def folder() -> Iterator[Path]:
    """Yield a folder that other users may enter, as pytest's may not."""
    with tempfile.TemporaryDirectory(prefix="rrl-batch-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def process(*words: str | Path, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run a service in the foreground, and end it."""
    quiet = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    with subprocess.Popen([str(word) for word in words], **quiet, **options) as running:
        try:
            yield running
        finally:
            running.terminate()
            with suppress(subprocess.TimeoutExpired):
                running.wait(SECONDS)
            running.kill()


SLURM_CONF = """\
ClusterName=sandbox
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge/socket
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_min_interval=100000
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=4096
PartitionName=normal Nodes=ALL Default=YES MaxTime=60
PartitionName=closed Nodes=ALL State=DOWN
"""


@contextmanager
def slurm() -> Iterator[Path]:
    """Run SLURM with this machine as its only node, and yield its configuration.

    It has a partition 'normal', and another whose jobs never start.
    """
    with folder() as root:
        for name in ("munge", "state", "spool"):
            (root / name).mkdir()
        key = root / "munge/key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        user = pwd.getpwnam("munge")
        for path in (root / "munge", key):
            os.chown(path, user.pw_uid, user.pw_gid)
        conf = root / "slurm.conf"
        conf.write_text(
            SLURM_CONF.format(
                host=socket.gethostname(), root=root, controller=free_port(), node=free_port(),
                cores=len(os.sched_getaffinity(0)),
            )
        )  # fmt: skip
        files = {
            f"--{name}-file": root / "munge" / name for name in ("key", "log", "pid", "seed")
        } | {"--socket": root / "munge/socket"}
        munged = ["munged", "--foreground", *(word for pair in files.items() for word in pair)]
        with (
            process(*munged, user="munge", group="munge", extra_groups=[]),
            process("slurmctld", "-D", "-f", conf),
            process("slurmd", "-D", "-f", conf, "-N", socket.gethostname()),
        ):
            until(lambda: "idle" in ask_slurm(conf, "sinfo", "-h", "-o", "%T"), "SLURM's start")
            try:
                yield conf
            finally:
                ask_slurm(conf, "scancel", "--user", "root")
                until(lambda: not ask_slurm(conf, "squeue", "-h"), "the end of SLURM's jobs")


def ask_slurm(conf: Path, *words: str) -> str:
    """Return what a command of SLURM prints, nothing if it fails."""
    environment = os.environ | {"SLURM_CONF": str(conf)}
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return done.stdout.strip()


SSHD_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {root}/host
AuthorizedKeysFile {root}/user.pub
PidFile {root}/sshd.pid
PasswordAuthentication no
UsePAM no
StrictModes no
SetEnv PYTHONPATH={path}
"""

SSH_CONFIG = """\
Host one two
    HostName 127.0.0.1
    Port {port}
    User root
    IdentityFile {root}/user
    UserKnownHostsFile {root}/known_hosts
"""


@contextmanager
def sshd(home: Path) -> Iterator[None]:
    """Let the hosts 'one' and 'two', by ``home/.ssh/config``, be this machine."""
    with folder() as root:
        for name in ("host", "user"):
            keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", root / name]
            subprocess.run(keygen, check=True, timeout=SECONDS)
        port, own = free_port(), (root / "host.pub").read_text()
        (root / "known_hosts").write_text(f"[127.0.0.1]:{port} {own}")
        config = root / "sshd_config"
        path = os.environ.get("PYTHONPATH", "")
        config.write_text(SSHD_CONFIG.format(port=port, root=root, path=path))
        (home / ".ssh").mkdir()
        (home / ".ssh/config").write_text(SSH_CONFIG.format(port=port, root=root))
        Path("/run/sshd").mkdir(exist_ok=True)
        with process(shutil.which("sshd") or "sshd", "-D", "-f", config):
            until(lambda: answers(port), "the start of sshd")
            yield


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
