"""Which tasks that have failed are done again, and how."""

import errno
from types import SimpleNamespace

import pytest
from distributed import KilledWorker

from rrl_batch.cluster import chances
from rrl_batch.cluster.chances import SecondChances
from rrl_batch.errors import PassingError, RunError, UserError
from rrl_batch.stages.sky import over_the_sky
from rrl_batch.storage.manifest import Receipt
from rrl_batch.storage.sky import Pixel


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
def retrying(monkeypatch):
    monkeypatch.setattr(chances, "_RETRY_SECONDS", -1.0)
    return Retrying()


def ends(second, future, number=0):
    """Follow a task that fails whenever it is given; return how often it was given again."""
    times = 0
    while second.chance_of(future, number) is future:
        assert second.chance_of(future, number) is future  # the time has come
        times += 1
    return times


KILLED = KilledWorker("x", SimpleNamespace(address="tcp://1"), 2)


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
def test_only_what_may_pass_is_tried_again(retrying, error, times):
    future = Failed(error)
    assert ends(SecondChances(retrying, "train", None), future) == times
    assert retrying.given == [future] * times


@pytest.mark.parametrize("error", [KILLED, ValueError("odd"), MemoryError()], ids=repr)
def test_a_task_that_may_be_at_fault_is_done_carefully_and_only_once(retrying, error):
    careful = Failed(error)
    given = []

    def again(number, be_careful):
        given.append((number, be_careful))
        return careful

    second = SecondChances(retrying, "predict", again, careful=True)
    assert second.chance_of(Failed(error), 4) is careful
    times = 3 if error is KILLED else 0
    assert ends(second, careful, 4) == times
    # and is careful whenever it is done again
    assert given == [(4, True)] * (1 + times)
    assert not retrying.given


def test_another_task_stands_in_for_one_that_dask_knows_as_several(retrying):
    first, other = Failed(OSError(errno.EIO, "the disk")), Failed(None)
    other.status = "finished"
    given = []

    def again(number, careful):
        given.append((number, careful))
        return other

    second = SecondChances(retrying, "survey", again)
    assert second.chance_of(first, 2) is first
    assert second.chance_of(first, 2) is other
    assert (given, retrying.given) == ([(2, False)], [])


@pytest.mark.parametrize("error", [UserError("a column is missing"), RunError("full")], ids=repr)
def test_a_sentence_for_the_user_is_not_looked_into(retrying, error):
    second = SecondChances(retrying, "predict", lambda *_: pytest.fail("done again"), True)
    assert second.chance_of(Failed(error), 0) is None


def test_what_has_ended_well_is_left_alone(retrying):
    done = Failed(None)
    done.status = "finished"
    assert SecondChances(retrying, "predict", None).chance_of(done, 0) is None


def _fails_once(piece, *, root):
    """Write down that it was called; fail the first time, as a disk does."""
    number = len(list(root.glob(f"{piece}-*")))
    (root / f"{piece}-{number}").touch()
    if piece == 1 and number == 0:
        raise OSError(errno.EIO, "the disk")
    return Receipt(path=f"{piece}", rows=10, size=0, sha256="", fingerprint="")


def test_a_piece_of_the_sky_that_a_disk_has_failed_on_is_done_again(client, tmp_path, monkeypatch):
    """Dask fuses the tasks of a bag, and its client cannot have such a task done again."""
    monkeypatch.setattr(chances, "_RETRY_SECONDS", 0.0)
    pixels = [Pixel(1, number) for number in range(3)]
    receipts = over_the_sky(
        client, _fails_once, [0, 1, 2], pixels, [10] * 3, 10, stage="survey", root=tmp_path
    )
    assert [receipt.path for receipt in receipts] == ["0", "1", "2"]
    assert len(list(tmp_path.glob("1-*"))) == 2
