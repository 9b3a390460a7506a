"""Which tasks that have failed are done again, and how."""

import errno

import pytest
from distributed import KilledWorker

from rrl_batch.cluster import chances
from rrl_batch.cluster.chances import SecondChances
from rrl_batch.errors import PassingError, RunError, UserError


class Failed:
    """A task that has ended with an error."""

    status = "error"

    def __init__(self, error):
        self.error = error

    def exception(self):
        return self.error


class Retrying:
    """A client that takes note of what is given again."""

    def __init__(self):
        self.given = []

    def retry(self, futures):
        self.given += futures


@pytest.fixture
def client(monkeypatch):
    monkeypatch.setattr(chances, "_RETRY_SECONDS", -1.0)
    return Retrying()


def ends(second, future, number=0):
    """Follow a task that fails whenever it is given; return how often it was given again."""
    times = 0
    while second.chance_of(future, number) is future:
        assert second.chance_of(future, number) is future  # the time has come
        times += 1
    return times


KILLED = KilledWorker("x", None, 2)


@pytest.mark.parametrize(
    ("error", "times"),
    [
        (OSError(errno.EIO, "the disk"), 3),
        (PassingError("x could not be written"), 3),
        (TimeoutError("a network"), 3),
        (RunError("the disk is full"), 0),
        (UserError("a column is missing"), 0),
        (ValueError("a fault of the program"), 0),
        (KILLED, 3),
    ],
    ids=repr,
)
def test_only_what_may_pass_is_tried_again(client, error, times):
    future = Failed(error)
    assert ends(SecondChances(client, "train", None), future) == times
    assert client.given == [future] * times


@pytest.mark.parametrize("error", [KILLED, ValueError("odd"), MemoryError()], ids=repr)
def test_a_task_that_may_be_at_fault_is_done_carefully_and_only_once(client, error):
    careful = Failed(error)
    second = SecondChances(client, "predict", lambda number: careful if number == 4 else None)
    assert second.chance_of(Failed(error), 4) is careful
    assert ends(second, careful, 4) == (3 if error is KILLED else 0)


@pytest.mark.parametrize("error", [UserError("a column is missing"), RunError("full")], ids=repr)
def test_a_sentence_for_the_user_is_not_looked_into(client, error):
    second = SecondChances(client, "predict", lambda _: pytest.fail("done again"))
    assert second.chance_of(Failed(error), 0) is None


def test_what_has_ended_well_is_left_alone(client):
    done = Failed(None)
    done.status = "finished"
    assert SecondChances(client, "predict", None).chance_of(done, 0) is None
