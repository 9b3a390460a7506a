"""The state of a job follows from its events, however they come."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrl_batch.cluster.events import (
    EVENTS_FILE,
    Advanced,
    EpochEnded,
    JobEnded,
    JobStarted,
    Piece,
    StageEnded,
    StageStarted,
    TaskDone,
    TaskFailed,
    TrainingSetKnown,
    Warned,
    from_json,
    read_events,
)
from rrl_batch.cluster.state import RATE_SECONDS, RunState
from rrl_batch.contracts.histogram import N_BINS
from rrl_batch.storage.sky import Pixel

JOB = {"job": "a job"}


def bins(*counts):
    """Return counts in the first bins of [Fe/H]."""
    return [*counts, *[0] * (N_BINS - len(counts))]


def pixels_of(n_tasks):
    return [[Pixel(3, 2 * i), Pixel(3, 2 * i + 1)] for i in range(n_tasks)]


def done(task, began, *, found=False):
    """A task of two pieces of the sky, of 10 and 20 stars."""
    pieces = [
        Piece(pixel, rows, {"SPARSE": 2 + task, "predicted": rows}, -1.5, bins(rows, 0, task))
        for pixel, rows in zip(pixels_of(task + 1)[task], (10, 20), strict=True)
    ]
    at = {"time": began + 1 + task, "stage": "predict", "began": began}
    fresh = 0.0 if found else 30.0
    return TaskDone(**JOB, **at, task=task, amount=30.0, fresh=fresh, seconds=0.5, pieces=pieces)


def attempt(time, n_tasks, n_done, *, found=0, ended=None):
    """The events of a job that begins at some time and gets so far, some of it done before."""
    train = {**JOB, "stage": "train", "began": time + 1}
    predict = {**JOB, "stage": "predict", "began": time + 10}
    events = [
        JobStarted(**JOB, time=time, title="Sky"),
        StageStarted(**train, time=time + 1, unit="epochs", planned=[40.0, 40.0]),
        Advanced(**train, time=time + 2, task=0, done=0.0),
        *(
            EpochEnded(**train, time=time + 2 + n, member="gru_0_0", epoch=n, loss=1 / n, task=0)
            for n in (1, 2, 3)
        ),
        TaskDone(**train, time=time + 6, task=0, amount=3.0, fresh=0.0, seconds=4.0),
        TaskDone(**train, time=time + 7, task=1, amount=40.0, fresh=0.0, seconds=5.0),
        StageEnded(**train, time=time + 8),
        TrainingSetKnown(**JOB, time=time + 9, histogram=bins(1, int(time), 3)),
        StageStarted(
            **predict, time=time + 10, unit="stars", planned=[30.0] * n_tasks,
            pixels=pixels_of(n_tasks),
        ),
        Warned(**JOB, time=time + 10.5, message="odd"),
        *(done(task, time + 10, found=task < found) for task in range(n_done)),
    ]  # fmt: skip
    if n_done == n_tasks:
        events.append(StageEnded(**predict, time=time + 90))
    if ended:
        events.append(JobEnded(**JOB, time=time + 99, state=ended, message="why"))
    return events


def totals(state):
    """Everything that a view shows but rates, in an order of its own."""
    return {
        "state": state.state,
        "stages": [
            (
                s.name, s.began, s.unit, s.total, s.amount, s.seconds, s.rows, s.ended,
                sorted(s.counts.items()), s.feh_histogram, sorted(s.done), s.so_far, s.fraction,
                [s.state_of(task) for task in range(len(s.planned))],
            )
            for s in state.order
        ],
        "losses": state.losses,
        "training": state.training_histogram,
        "warnings": state.warnings,
        "failures": state.failures,
    }  # fmt: skip


@given(st.data())
def test_events_in_any_order_and_more_than_once_give_the_totals_of_the_last_run(data):
    n_tasks = data.draw(st.integers(1, 5))
    first = data.draw(st.integers(0, n_tasks))
    second = data.draw(st.integers(first, n_tasks))
    ended = data.draw(st.sampled_from([None, "done", "cancelled"]))
    before = attempt(100.0, n_tasks, first, ended="failed")
    after = attempt(1000.0, n_tasks, second, found=first, ended=ended)
    events = [*before, *after]
    expected = totals(RunState.of(events))
    assert expected["stages"] == totals(RunState.of(after))["stages"]
    repeated = data.draw(st.lists(st.sampled_from(events), max_size=10))
    shuffled = data.draw(st.permutations([*events, *repeated]))
    assert totals(RunState.of(shuffled)) == expected


def test_what_a_run_is_made_of_adds_up():
    state = RunState.of(attempt(0.0, 4, 3))
    predict, train = state.stages["predict"], state.stages["train"]
    assert (predict.total, predict.amount, predict.rows, predict.fraction) == (120, 90, 90, 0.75)
    assert predict.counts == {"predicted": 90, "SPARSE": 2 * (2 + 3 + 4)}
    assert predict.feh_histogram == bins(90, 0, 2 * (0 + 1 + 2))
    assert [predict.state_of(task) for task in range(4)] == ["done"] * 3 + ["waiting"]
    assert (train.total, train.amount, train.fraction) == (43, 43, 1)  # stopped early
    assert [event.loss for event in state.losses["gru_0_0"]] == [1, 1 / 2, 1 / 3]
    assert (state.state, state.current, state.sky) == ("running", predict, predict)


def test_the_rate_is_of_the_last_minutes_and_not_of_what_was_found_finished():
    stage = {**JOB, "stage": "predict", "began": 1000.0}
    state = RunState.of(
        [
            StageStarted(**stage, time=1000.0, unit="stars", planned=[30.0] * 100),
            *(replace(done(i, 1000.0, found=True), time=1001.0) for i in range(50)),
        ]
    )
    predict = state.stages["predict"]
    assert (predict.rate(1010.0), predict.seconds_left(1010.0)) == (0, None)
    for i in range(10):
        state.apply(replace(done(50 + i, 1000.0), time=1002.0 + i))
    assert predict.rate(1030.0) == pytest.approx(10 * 30 / 30)
    assert predict.seconds_left(1030.0) == pytest.approx(40 * 30 / 10)
    assert predict.rate(1012.0 + RATE_SECONDS) == 0


def test_units_that_are_reported_on_the_way_count_once():
    stage = {**JOB, "stage": "train", "began": 0.0}
    state = RunState.of(
        [
            StageStarted(**stage, time=0.0, unit="epochs", planned=[40.0]),
            *(Advanced(**stage, time=float(n), task=0, done=n) for n in range(21)),
        ]
    )
    train = state.stages["train"]
    assert (train.so_far, train.state_of(0), train.rate(20.0)) == (20, "running", 1)
    state.apply(TaskDone(**stage, time=21.0, task=0, amount=20.0, fresh=0.0))
    assert (train.so_far, train.total, train.rate(20.0)) == (20, 20, 1)


def test_passes_are_units_but_for_those_of_an_earlier_run():
    stage = {**JOB, "stage": "train", "began": 0.0}
    state = RunState.of(
        [
            StageStarted(**stage, time=0.0, unit="epochs", planned=[40.0, 40.0]),
            *(EpochEnded(**stage, time=1.0, member="a", epoch=n) for n in range(1, 31)),
            TaskDone(**stage, time=1.0, task=0, amount=30.0, fresh=0.0),
            *(
                EpochEnded(**stage, time=float(n), member="b", epoch=n, task=1)
                for n in (1, 2, 2, 3, 4)
            ),
        ]
    )
    train = state.stages["train"]
    assert (train.so_far, train.running, train.rate(4.0)) == (34, {1: 4}, 1)


def test_failures_are_those_of_the_run_that_began_last():
    failed = {**JOB, "stage": "predict", "began": 10.0}
    state = RunState.of(attempt(0.0, 2, 1))
    state.apply(TaskFailed(**failed, time=50.0, task=1, reason="the disk is full"))
    assert [event.reason for event in state.failures] == ["the disk is full"]
    assert state.stages["predict"].state_of(1) == "failed"
    state.apply(JobEnded(**JOB, time=51.0, state="failed", message="the disk is full"))
    assert state.state == "failed"
    state.apply(JobStarted(**JOB, time=60.0, title="Sky"))
    assert (state.state, state.failures) == ("running", [])


def test_what_no_job_was_declared_for_is_done_when_its_stages_are():
    events = [e for e in attempt(0.0, 2, 2) if not isinstance(e, JobStarted | JobEnded)]
    assert RunState.of(events[:-1]).state == "running"
    assert RunState.of(events).state == "done"


def test_every_event_survives_its_line_of_json():
    events = attempt(0.5, 3, 3, ended="done")
    events.append(TaskFailed(**JOB, time=1.0, stage="x", began=0.0, task=2, reason="a \n line"))
    for event in events:
        line = event.to_json()
        assert "\n" not in line
        assert from_json(line) == event


@pytest.mark.parametrize("line", ["", "{}", "[]", "1", '{"event": "Nothing"}', '{"event": "War'])
def test_a_line_that_is_no_event_is_refused(line):
    with pytest.raises(ValueError, match="not an event"):
        from_json(line)


def test_torn_lines_of_a_file_of_events_are_passed_over(tmp_path):
    assert list(read_events(tmp_path)) == []
    events = attempt(0.0, 2, 2, ended="done")
    lines = [event.to_json() for event in events]
    torn = lines[4][: len(lines[4]) // 2]
    content = "\n".join([*lines[:4], torn, *lines[4:], lines[-1][:20]])
    (tmp_path / EVENTS_FILE).write_bytes(content.encode() + "é".encode()[:1])
    assert list(read_events(tmp_path)) == events
    assert json.loads(lines[0])["event"] == "JobStarted"
