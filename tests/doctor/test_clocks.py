import time

import pytest

from rrl_batch.doctor.clocks import clocks, difference
from rrl_batch.doctor.subject import Subject
from rrl_batch.job import ClusterSection


@pytest.mark.parametrize("ahead", [-1e6, 0.0, 1e6])
def test_the_difference_lies_within_its_uncertainty(ahead):
    found, uncertainty = difference(lambda: time.time() + ahead)
    assert abs(found - ahead) <= uncertainty + 1e-5  # digits of a time in s


class Late:
    """A client of a scheduler whose clock is wrong, and of a worker whose is not."""

    def scheduler_info(self, n_workers):
        assert n_workers == -1
        return {"workers": {"tcp://10.0.0.2:1": {"host": "10.0.0.2"}}}

    def run_on_scheduler(self, _):
        return time.time() - 1e6

    def run(self, function, workers):
        return {workers[0]: function()}


def test_a_wrong_clock_is_named():
    (found,) = clocks(Subject(ClusterSection(), client=Late()))
    assert found.state == "warning"
    assert found.text.startswith("the clock of the scheduler is 1000000.0 s behind this one (± ")
    assert "synchronise both" in found.text


def test_clocks_of_one_machine_agree(client):
    (found,) = clocks(Subject(ClusterSection(), client=client))
    assert found.state == "ok"
    assert found.text.startswith("of the scheduler and 127.0.0.1: no more than ")
