"""Kill anything at any moment, start again, and compare with an undisturbed run.

    python tests/torture/torture.py --minutes 60 [--stars 600] [--workers 2] [--seed 0]

A round makes a survey, a model or a catalogue in an empty folder, and something happens on the way:
a process is killed, stalled or refused the disk, at a step of the protocol that is drawn by lot.
The same command is given until it ends well. Then what there is, is compared with what an
undisturbed run has left: the content of every file, and every row. What was found is printed, and
the exit code is 1 if a star was lost or doubled, or a row or file differs, or a command ended
without a sentence.
"""

import argparse
import errno
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]

from compare import Found, compared, content
from processes import Cluster, Command, asked, preload, small_disk

COMMAND_SECONDS = 900.0
"""After which a command counts as hanging: for 10 minutes it may wait for workers."""

KILLING_SECONDS = 120.0
"""For which workers are killed every second; on a busy machine none lives to compile a kernel."""

MOST_COMMANDS = 40

STAGES = ("survey", "model", "catalogue")

OPTIONS = [
    "model.architecture=ridge", "labels.scale=true", "preprocess.points=16", "training.folds=2",
    "training.select=num_epochs_used >= 12 and amplitude <= 1.4 and phi31_error <= 1.0",
]  # fmt: skip

FAULTS = {
    "worker killed": ("worker", "kill"),
    "driver killed": ("driver", "kill"),
    "power cut, worker": ("worker", "power cut"),
    "power cut, driver": ("driver", "power cut"),
    "disk full, worker": ("worker", str(errno.ENOSPC)),
    "disk full, driver": ("driver", str(errno.ENOSPC)),
    "input or output error, worker": ("worker", str(errno.EIO)),
    "input or output error, driver": ("driver", str(errno.EIO)),
    "worker stalled": ("worker", "stall"),
    "driver stalled, another started": ("driver", "stall"),
    "clock back, worker": ("worker", "clock"),
    "clock back, driver": ("driver", "clock"),
    "scheduler killed": ("", "scheduler"),
    "workers killed every second": ("", "every second"),
    "disk full (a small disk)": ("", "small disk"),
    "read-only disk": ("", "read-only"),
}
"""By name: the role that it happens to, and what happens."""


@dataclass
class Report:
    """What was done and what came of it.

    Attributes
    ----------
    faults : Counter
        Faults that have happened, by name.
    skipped : set of str
        Faults that cannot be had here.
    rounds, commands : int
        Rounds, and commands that were given again.
    untold : list of str
        What commands have said that ended without a sentence.
    found : Found
        Sums over all rounds.
    """

    faults: Counter[str] = field(default_factory=Counter)
    skipped: set[str] = field(default_factory=set)
    rounds: int = 0
    restarts: int = 0
    untold: list[str] = field(default_factory=list)
    found: Found = field(default_factory=Found)

    @property
    def failed(self) -> bool:
        """Whether a promise was broken."""
        return bool(self.untold) or not self.found.is_clean

    def lines(self) -> Iterator[str]:
        """Yield the report, line by line."""
        yield f"faults injected      {self.faults.total():,} in {self.rounds:,} rounds"
        for name, number in self.faults.most_common():
            yield f"  {name:<32} {number:>6,}"
        for name in sorted(self.skipped):
            yield f"  {name:<32}   not possible here (needs the rights of root)"
        yield f"restarts             {self.restarts:,}"
        yield f"without a sentence   {len(self.untold):,}"
        yield f"stars expected       {self.found.expected:,}"
        yield f"stars found          {self.found.stars:,}"
        yield f"duplicates           {self.found.duplicates:,}"
        yield f"differing files      {self.found.files:,}"
        yield f"differing rows       {self.found.rows:,}"
        yield from self.untold


class Torture:
    """Rounds of faults, and what an undisturbed run has left to compare with.

    Parameters
    ----------
    root : pathlib.Path
        A folder for all of it.
    made : pathlib.Path
        Folder with survey, model and catalogue of an undisturbed run; made, if it is not there.
    stages : sequence of str
        Which of them are made again, disturbed.
    stars : int
        Stars of the survey.
    workers : int
        Worker processes.
    seed : int
        Of what is drawn.
    """

    def __init__(
        self, root: Path, made: Path, stages: Sequence[str], stars: int, workers: int, seed: int
    ) -> None:
        self._root, self._made, self._stars, self._workers = root, made, stars, workers
        self._random = random.Random(seed)
        self._plan = root / "plan"
        self._plan.mkdir()
        self.report = Report()
        self._cluster = self._new_cluster()
        if not made.exists():
            for stage in STAGES:
                self._plan_fault("", "", made)
                command = self._give(stage, made)
                assert self._ended(command) == 0, command.said
        self._steps, self._expected = {}, {}
        for stage in stages:
            self._expected[stage] = asked(content, stage, str(made))
            self.round("", stage)

    def end(self) -> None:
        """End all processes."""
        self._cluster.end()

    def round(self, name: str, stage: str) -> None:
        """Let a fault happen on the way to a survey, model or catalogue, and look what is left.

        Without a fault, the steps on the way are counted.
        """
        role, fault = FAULTS.get(name, ("", ""))
        shutil.rmtree(self._out, ignore_errors=True)
        if not self._cluster.runs:
            self._cluster = self._new_cluster()
        steps = self._steps.get(stage, Counter())
        at = self._random.randint(1, max(steps[role] if role else steps.total(), 1))
        self._plan_fault(role, fault, self._out, at)
        special = {
            "": self._leave, "scheduler": self._kill_scheduler, "small disk": self._fill_disk,
            "every second": self._kill_every_second, "read-only": self._close_disk,
        }  # fmt: skip
        special.get(fault, self._disturb)(name, stage, at)
        found = Found(**asked(compared, stage, str(self._out), self._expected[stage]))
        if not name:
            self._steps[stage] = self._count_steps()
            assert found.is_clean, f"two undisturbed runs differ: {found}"
            return
        self.report.rounds += 1
        self.report.found += found

    @property
    def _out(self) -> Path:
        """Folder of what is made disturbed."""
        return self._root / "disturbed"

    def _new_cluster(self, kill_every: float = 0.0) -> Cluster:
        return Cluster(self._plan, self._workers, kill_every)

    def _plan_fault(self, role: str, fault: str, under: Path, at: int = 1) -> None:
        """Write down what shall happen where."""
        for file in ("steps", "done"):
            (self._plan / file).unlink(missing_ok=True)
        plan = {"under": str(under), "role": role, "fault": fault, "step": at}
        (self._plan / "plan.new").write_text(json.dumps(plan))
        (self._plan / "plan.new").replace(self._plan / "plan.json")

    def _count_steps(self) -> Counter[str]:
        """Return how many steps each role has taken."""
        try:
            lines = (self._plan / "steps").read_text().splitlines()
        except FileNotFoundError:
            return Counter()
        return Counter(line.split()[0] for line in lines)

    @property
    def _happened(self) -> list[str]:
        """The process and the step at which the fault has happened, if it has."""
        with suppress(FileNotFoundError):
            return (self._plan / "done").read_text().split()
        return []

    def _give(self, stage: str, out: Path | None = None) -> Command:
        """Give the command that makes a survey, a model or a catalogue."""
        out, made = out or self._out, self._made
        out.mkdir(parents=True, exist_ok=True)
        (job := self._plan / "job.toml").write_text("")
        words = {
            "survey": ["simulate", out, "--stars", self._stars, "--seed", 7],
            "model": [
                "train", job, f"--set=survey.path={made / 'survey'}",
                f"--set=labels.path={made / 'labels.parquet'}",
                f"--set=model.path={out / 'model'}", *(f"--set={option}" for option in OPTIONS),
            ],
            "catalogue": [
                "predict", "--model", made / "model", "--survey", made / "survey",
                "--out", out / "catalogue",
            ],
        }[stage]  # fmt: skip
        return Command([*map(str, words), "--scheduler", self._cluster.address], self._plan)

    def _go_on(self, stage: str) -> None:
        """Give the same command until it ends well."""
        for _ in range(MOST_COMMANDS):
            if not self._cluster.runs:
                self._cluster = self._new_cluster()
            self.report.restarts += 1
            command = self._give(stage)
            if self._ended(command) == 0:
                return
        raise AssertionError(f"{stage}: given {MOST_COMMANDS} times, to no end: {command.said}")

    def _ended(self, command: Command) -> int:
        """Wait for a command; return its exit code."""
        code = self._until(lambda: False, command)
        assert code is not None
        return code

    def _note(self, code: int, command: Command) -> None:
        """Note if a command has ended without a sentence."""
        said = [line for line in command.said.splitlines() if line.startswith("rrl-batch: ")]
        if code > 0 and (not said or " failed (" in said[-1] or "Traceback" in command.said):
            self.report.untold.append(f"{' '.join(self._happened)}: {command.said[-2000:]}")

    def _happens(self, name: str) -> None:
        self.report.faults[name] += 1

    def _until(self, ready: Callable[[], object], command: Command) -> int | None:
        """Wait until something is so; return the exit code of a command that ends before."""
        end = time.monotonic() + COMMAND_SECONDS
        while not ready():
            code = command.wait(0.02)
            if code is not None:
                self._note(code, command)
                return code
            if time.monotonic() > end:
                command.tell_what_it_does()
                said = self._cluster.what_it_does()
                raise AssertionError(
                    f"a command hangs, after {' '.join(self._happened) or 'no fault'}:\n"
                    f"{command.said[-20_000:]}\nThe cluster:\n{said[-20_000:]}"
                )
        return None

    def _leave(self, _name: str, stage: str, _at: int) -> None:
        """Let nothing happen."""
        command = self._give(stage)
        assert self._ended(command) == 0, command.said

    def _disturb(self, name: str, stage: str, _at: int) -> None:
        """Let something happen within a process, at a step."""
        command = self._give(stage)
        code = self._until(lambda: self._happened, command)
        if self._happened:
            self._happens(name)
            if "stalled" in name:
                self._wake(command, stage)
                return
        if code is None:
            code = self._ended(command)
        if code != 0:
            self._go_on(stage)

    def _wake(self, command: Command, stage: str) -> None:
        """Go on without a stalled process, which then wakes up in the middle of its work."""
        pid, role = int(self._happened[0]), self._happened[1]
        if role == "worker":  # believed dead, as is all of its cluster
            command.kill()
            self._cluster.kill()
            self._go_on(stage)
        else:
            self.report.restarts += 1
            self._ended(self._give(stage))  # may be told that another one writes there
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        if role == "worker":
            time.sleep(1.0)  # for it to do what it can
        else:
            self._ended(command)
            self._go_on(stage)

    def _kill_scheduler(self, name: str, stage: str, at: int) -> None:
        command = self._give(stage)
        code = self._until(lambda: self._count_steps().total() >= at, command)
        self._cluster.kill()
        self._happens(name)
        if (self._ended(command) if code is None else code) != 0:
            self._go_on(stage)

    def _kill_every_second(self, name: str, stage: str, _at: int) -> None:
        """Let `distributed.chaos.KillWorker` do its work for a while, then go on in peace."""
        self._cluster.end()
        self._cluster = self._new_cluster(kill_every=1.0)
        before = self._cluster.workers_killed
        command, end = self._give(stage), time.monotonic() + KILLING_SECONDS
        code = self._until(lambda: time.monotonic() > end, command)
        self.report.faults[name] += self._cluster.workers_killed - before
        self._cluster.end()
        if code is None:
            code = self._ended(command)
        if code != 0:
            self._go_on(stage)

    def _fill_disk(self, name: str, stage: str, _at: int) -> None:
        """Let the disk be full, at some point on the way."""
        size = sum(p.stat().st_size for p in (self._made / stage).rglob("*") if p.is_file())
        least = 16_384
        with small_disk(self._out, max(int(self._random.uniform(0.05, 0.9) * size), least)) as disk:
            if disk is None:
                self.report.skipped.add(name)
            elif self._ended(self._give(stage)) != 0:
                self._happens(name)
            if disk:
                disk.remount("size=512m")
            self._go_on(stage)

    def _close_disk(self, name: str, stage: str, at: int) -> None:
        """Let the disk become read-only, at a step."""
        with small_disk(self._out, 1 << 29) as disk:
            if disk is None:
                self.report.skipped.add(name)
                self._go_on(stage)
                return
            command = self._give(stage)
            code = self._until(lambda: self._count_steps().total() >= at, command)
            if code is None:
                # not in the very moment in which a file is written
                code = self._until(lambda: disk.remount("ro"), command)
                self._happens(name)
            if code is None:
                code = self._ended(command)
            disk.remount("rw")
            if code != 0:
                self._go_on(stage)


def main() -> int:
    """Torture for some time, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, help="end after so many, whatever the time")
    parser.add_argument("--stars", type=int, default=600)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--made", type=Path, help="folder of an undisturbed run")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=FAULTS, metavar="FAULT")
    options = parser.parse_args()
    preload()
    end = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory(prefix="rrl-torture-", ignore_cleanup_errors=True) as name:
        root = Path(name)
        torture = Torture(
            root, options.made or root / "undisturbed", options.stages, options.stars,
            options.workers, options.seed,
        )  # fmt: skip
        order = [(fault, stage) for stage in options.stages for fault in options.faults]
        random.Random(options.seed).shuffle(order)
        rounds = islice(cycle(order), options.rounds)
        try:
            while time.monotonic() < end and (next_round := next(rounds, None)):
                torture.round(*next_round)
                print(f"{torture.report.rounds:>5}  {': '.join(reversed(next_round))}", flush=True)
        finally:
            torture.end()
            for line in torture.report.lines():
                print(line)
    return int(torture.report.failed)


if __name__ == "__main__":
    sys.exit(main())
