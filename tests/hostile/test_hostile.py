"""Whatever a file holds: no crash, no hang, little memory, and one sentence."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from bombs import BOMBS, PASSED_OVER
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import mutated
from readers import READERS

HERE = Path(__file__).parent

OWN = ("job", "claim", "events", "driver", "log")
"""What the user, or the product itself, has written here."""


@pytest.mark.parametrize("name", READERS)
def test_what_is_as_it_should_be_is_read(name, tmp_path):
    reader = READERS[name]
    assert reader(reader.seed(), tmp_path / "input") is None


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=8, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_damaged_files_are_read_or_refused_in_a_sentence(name, seed, tmp_path_factory):
    """The fuzzer (`make fuzz`) does the same for longer, and guided by what it reaches."""
    reader = READERS[name]
    folder = tmp_path_factory.getbasetemp() / "hostile"
    reader(mutated(reader.seed(), random.Random(seed)), folder)


@pytest.mark.parametrize("name", [n for n in READERS if n not in OWN])
def test_a_device_in_the_place_of_a_file_is_refused(name, tmp_path):
    """A folder that somebody has packed may hold a link to one that never ends."""
    reader = READERS[name]
    (path := tmp_path / reader.file).parent.mkdir(exist_ok=True)
    if reader.prepare:
        reader.prepare(tmp_path)
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")
    assert reader.refuses(path)


@pytest.fixture(scope="module")
def said():
    """What is said of each bomb, and the memory that all took, in a process with limits."""
    path = os.pathsep.join([str(HERE), str(HERE.parent), *filter(None, [os.getenv("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, HERE / "bombs.py"], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, f"after {lines[-1:]}: {done.stderr[-2000:]}"
    return {line["name"]: line["said"] for line in lines[:-1]} | {"": lines[-1]["megabytes"]}


@pytest.mark.parametrize("name", BOMBS)
def test_small_files_that_claim_much_are_refused(said, name):
    assert bool(said[name]) == (name not in PASSED_OVER)


def test_small_files_that_claim_much_take_little_memory(said):
    assert said[""] < 700
