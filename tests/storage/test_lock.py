"""One run at a time writes to an output."""

import os
import signal
import subprocess
import sys

import pytest

from rrl_batch.cli import main
from rrl_batch.errors import UserError
from rrl_batch.storage import lock
from rrl_batch.storage.lock import check_sole_writer, sole_writer, this_command


def test_an_output_has_one_job_at_a_time(tmp_path):
    out = tmp_path / "work/catalogue"
    with sole_writer([out, tmp_path / "model"], "/jobs/sky-1"):
        for other in (out, tmp_path / "x/../work/catalogue"):
            with pytest.raises(UserError, match=r"The job sky-1 writes to .*catalogue already"):
                check_sole_writer([other])
            with (
                pytest.raises(UserError, match=r"sky-1 writes to .*; wait until it is done"),
                sole_writer([other], "/jobs/sky-2"),
            ):
                pass
        check_sole_writer([tmp_path / "elsewhere"])
    check_sole_writer([out])
    with sole_writer([out], "/jobs/sky-2"):
        pass


def test_a_job_waits_for_its_own_last_driver(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "_PREDECESSOR_SECONDS", 0.1)
    with (
        sole_writer([tmp_path / "out"], "/jobs/sky-1"),
        pytest.raises(UserError, match="sky-1 writes to"),
        sole_writer([tmp_path / "out"], "/jobs/sky-1"),
    ):
        pass


def test_two_commands_on_one_output_one_wins_and_the_other_is_told(tmp_path, run, capsys):
    """Whoever is killed leaves nothing that has to be unlocked."""
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from rrl_batch.storage.lock import sole_writer, this_command\n"
        "with sole_writer([Path(sys.argv[1])], this_command('rrl-batch predict')):\n"
        "    print('locked', flush=True)\n    time.sleep(600)\n"
    )
    out = tmp_path / "catalogue"
    command = [sys.executable, "-c", code, str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "locked\n"
        words = ["predict", "--model", str(run.model), "--survey", str(run.survey)]
        assert main([*words, "--out", str(out)]) == 2
        told = capsys.readouterr().err
        assert f"'rrl-batch predict (process {first.pid}, " in told
        assert f"writes to {out} already; wait until it is done" in told
        assert not out.exists()
        first.send_signal(signal.SIGKILL)
    with sole_writer([out], this_command("rrl-batch predict")):
        pass


def test_the_same_command_again_is_another_process():
    assert f"(process {os.getpid()}, " in this_command("rrl-batch train job.toml")
