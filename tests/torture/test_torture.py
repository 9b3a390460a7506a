"""A few minutes of `make torture` in half of one: a fault of each kind that the protocol meets."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent / "torture.py"
FAULTS = ["worker killed", "power cut, worker", "driver killed", "disk full, worker"]


def test_whatever_is_killed_the_catalogue_is_that_of_an_undisturbed_run(run, tmp_path):
    command = [
        sys.executable, SCRIPT, "--made", run.survey.parent, "--stages", "catalogue",
        "--workers", "1", "--rounds", str(len(FAULTS)), "--faults", *FAULTS,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    report = dict(
        line.rsplit(maxsplit=1) for line in done.stdout.splitlines() if line[:1].isalpha()
    )
    assert report["stars found"] == report["stars expected"] == f"{300 * len(FAULTS):,}"
    assert report["duplicates"] == report["differing rows"] == report["differing files"] == "0"
    for fault in FAULTS:
        assert f"  {fault:<32}      1" in done.stdout
