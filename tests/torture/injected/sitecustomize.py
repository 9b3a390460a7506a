"""Faults within the processes of a torture: Python runs this first wherever it is on the path.

`RRL_TORTURE` names a folder. In it, `plan.json` says under which folder which step of which role
has which fault; `steps` gets a line for every step that was taken, and `done` exists once the fault
has happened. The product knows nothing of it: steps are noticed by an audit hook, and by standing
in for `os.fsync` and `time.time`.
"""

import faulthandler
import fcntl
import json
import os
import signal
import sys
import time

FOLDER = os.environ.get("RRL_TORTURE", "")
ROLE = globals().get("ROLE", "worker")

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_EVENTS = {"os.rename": "rename", "os.link": "link", "os.remove": "remove"}
behind: list[float] = []


def step(kind, path):
    """Take a step, unless the plan has something else for it."""
    path = os.path.abspath(os.fsdecode(path))
    if path.startswith(FOLDER):
        return
    try:
        with open(os.path.join(FOLDER, "plan.json"), encoding="utf-8") as file:
            plan = json.load(file)
    except (OSError, ValueError):
        return
    if path.startswith(plan["under"] + os.sep) and is_time(plan, kind, path):
        happen(plan["fault"], kind, path)


def is_time(plan, kind, path):
    """Count a step; return whether it is the one of the plan, for the only time."""
    name = os.path.relpath(path, plan["under"])
    steps = os.open(os.path.join(FOLDER, "steps"), os.O_RDWR | os.O_CREAT | os.O_APPEND)
    fcntl.flock(steps, fcntl.LOCK_EX)
    try:
        os.write(steps, f"{ROLE} {kind} {name}\n".encode())
        os.lseek(steps, 0, os.SEEK_SET)
        lines = os.read(steps, 1 << 24).decode().splitlines()
        number = sum(line.startswith(f"{ROLE} ") for line in lines)
        done = os.path.join(FOLDER, "done")
        if plan["role"] != ROLE or number < plan["step"] or os.path.exists(done):
            return False
        with open(done, "w", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {ROLE} {kind} {name}\n")
    finally:
        os.close(steps)
    return True


def happen(fault, kind, path):
    """Let the fault happen in this very process."""
    if fault == "power cut" and kind == "fsync" and os.path.isfile(path):
        os.truncate(path, os.path.getsize(path) // 2)  # what was not flushed is lost
    if fault in ("kill", "power cut"):
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault == "stall":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif fault == "clock":
        behind.append(3 * 3600.0)
    elif fault.isdecimal():
        raise OSError(int(fault), os.strerror(int(fault)), path)


def audit(event, arguments):
    """Notice what is about to be written, renamed or removed."""
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, (str, bytes)) and flags & _WRITES:
            step("write", path)
    elif event in _EVENTS:
        step(_EVENTS[event], arguments[1] if event == "os.link" else arguments[0])


def fsync(descriptor):
    """Flush, as `os.fsync` does."""
    step("fsync", os.readlink(f"/proc/self/fd/{descriptor}"))
    _fsync(descriptor)


def clock():
    """Return the time, as `time.time` does."""
    return _time() - sum(behind)


if FOLDER:
    faulthandler.register(signal.SIGUSR1)  # a process that hangs is asked what it does

if FOLDER and (ROLE == "driver" or "--multiprocessing-fork" in sys.orig_argv):
    _fsync, _time = os.fsync, time.time
    os.fsync, time.time = fsync, clock
    sys.addaudithook(audit)
