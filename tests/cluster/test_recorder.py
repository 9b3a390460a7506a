"""What a job tells of itself, on a cluster: to the scheduler and to its folder."""

import json
import logging
import shutil

import pytest
import sandbox
from distributed import Event

from rrl_batch import flow
from rrl_batch.cluster.events import EVENTS_FILE, JobEnded, from_json, read_events
from rrl_batch.cluster.monitor import gather, report
from rrl_batch.cluster.performance import PERFORMANCE_FILE, performance_kept
from rrl_batch.cluster.recorder import TOPIC, Outcome, recording
from rrl_batch.cluster.state import RunState
from rrl_batch.cluster.worker import compile_once
from rrl_batch.contracts import Flag
from rrl_batch.errors import UserError
from rrl_batch.models.folder import ModelCard
from rrl_batch.storage.manifest import MANIFEST, Manifest
from rrl_batch.survey.read import open_survey


def state_of(folder):
    return RunState.of(read_events(folder))


def test_a_catalogue_is_told_of_piece_by_piece(run):
    survey, manifest = open_survey(run.survey), Manifest.read(run.catalogue)
    state = state_of(run.events)
    predict = state.stages["predict"]
    assert (state.state, state.started.title) == ("done", "A small sky")
    assert (predict.total, predict.rows, predict.fraction) == (300, 300, 1)
    expected = {
        flag.name: sum(receipt.counts[flag.name] for receipt in manifest.partitions)
        for flag in Flag
    }
    assert {flag: predict.counts[flag] for flag in expected} == expected
    assert sum(predict.feh_histogram) == predict.counts["predicted"] > 0
    assert [pixel for some in predict.pixels for pixel in some] == [
        partition.pixel for partition in survey.partitions
    ]
    assert sum(state.training_histogram) == ModelCard.read(run.model).metrics["network"]["n"]
    assert sum(predict.work.values()) == 300
    assert all(stage.seconds > 0 for stage in state.stages.values())
    assert "found" not in json.loads((run.catalogue / MANIFEST).read_text())["partitions"][0]


def test_what_is_found_finished_is_told_of_as_done_but_not_as_work(client, run, tmp_path):
    out = tmp_path / "catalogue"
    shutil.copytree(run.catalogue, out)
    (out / MANIFEST).unlink()  # as if the driver had been killed before its last step
    with recording(client, "resumed", tmp_path / "job"):
        manifest = flow.predict(client, open_survey(run.survey), run.model, out)
    assert manifest == Manifest.read(run.catalogue)
    before, now = (
        state_of(run.events).stages["predict"],
        state_of(tmp_path / "job").stages["predict"],
    )
    assert (now.rows, now.counts, now.feh_histogram) == (
        before.rows, before.counts, before.feh_histogram,
    )  # fmt: skip
    assert sum(now.work.values()) == 0


def test_the_scheduler_hears_the_same_as_the_folder(client, tmp_path):
    with recording(client, "heard", tmp_path):
        futures = client.map(str, range(3), pure=False)
        gather(client, futures, stage="predict", unit="stars", planned=[1, 2, 3])
    heard = [from_json(line) for _, lines in client.get_events(TOPIC) for line in lines]
    assert [e for e in heard if e.job == "heard" and e.kept] == list(read_events(tmp_path))
    assert RunState.of(e for e in heard if e.job == "heard").stages["predict"].amount == 6


def test_the_losses_of_members_are_told_of_as_they_are_fitted(run):
    state = state_of(run.events)
    train = state.stages["train"]
    assert set(state.losses) == {"gru_0_0", "gru_0_1"}
    for passes in state.losses.values():
        assert [event.epoch for event in passes] == [1, 2, 3]
        assert all(event.loss > 0 and event.stopping_loss > 0 for event in passes)
    assert (train.amount, sum(train.work.values())) == (6, 6)
    assert [stage.name for stage in state.order] == [
        "survey", "select", "train", "compile", "predict",
    ]  # fmt: skip


def spans_of(job, dask_scheduler):
    spans = dask_scheduler.extensions["spans"].spans.values()
    return {span.name[2:]: len(span.groups) for span in spans if span.name[1:2] == (job,)}


def test_the_tasks_of_a_stage_are_a_span_of_the_job(client, tmp_path):
    with recording(client, "spans", tmp_path):
        compile_once(client, len, [])
    assert client.run_on_scheduler(spans_of, "spans")["compile",] == 1


def test_the_performance_is_kept_with_the_job_also_when_it_fails(client, tmp_path):
    with pytest.raises(UserError, match="Star 7"), performance_kept(client, tmp_path):
        client.submit(fail, 0, pure=False).result()
    page = (tmp_path / PERFORMANCE_FILE).read_text()
    assert "Dask Performance Report" in page
    assert "cdn.bokeh.org" not in page.split("<body")[0]


def epochs(n):
    Event("listening").wait(60)
    for epoch in range(n):
        report(epoch + 1, [("a member", epoch + 1, float("nan"), None)])
    return n


def one_pass(member):
    Event("listening").wait(60)
    report(1, [(member, 1, 0.5, None)])


def subscribers(dask_scheduler, topic):
    return set(dask_scheduler._broker._topics[topic].subscribers)


@pytest.fixture
def listening(client, monkeypatch):
    """Set when the scheduler knows that the client listens.

    What a task says before comes with its result only.
    """
    listening, subscribe = Event("listening", client=client), client.subscribe_topic

    def subscribe_and_tell(topic, handler):
        subscribe(topic, handler)
        sandbox.until(
            lambda: client.id in client.run_on_scheduler(subscribers, topic=topic), "listening"
        )
        listening.set()

    monkeypatch.setattr(client, "subscribe_topic", subscribe_and_tell)
    yield
    listening.clear()


@pytest.mark.usefixtures("listening")
def test_tasks_of_two_maps_are_told_apart(client, tmp_path):
    futures = [
        client.map(one_pass, [member], key="fit", pure=False)[0] for member in ("first", "second")
    ]
    with recording(client, "two maps", tmp_path):
        gather(client, futures, stage="train", unit="epochs", planned=[1, 1])
    losses = state_of(tmp_path).losses
    assert {member: event.task for member, (event,) in losses.items()} == {"first": 0, "second": 1}


@pytest.mark.usefixtures("listening")
def test_a_loss_that_is_no_number_is_none(client, tmp_path):
    with recording(client, "diverges", tmp_path):
        gather(
            client, client.map(epochs, [2], pure=False), stage="train", unit="epochs",
            planned=[5], outcome=lambda _, n: Outcome(n, passes=[("a member", 2, 1.0, 2.0)]),
        )  # fmt: skip
    (passes,) = state_of(tmp_path).losses.values()
    assert [(event.epoch, event.loss) for event in passes] == [(1, None), (2, None)]


def fail(_):
    raise UserError("Star 7 is odd; remove it.")


def test_a_failure_is_told_with_its_reason(client, tmp_path):
    with pytest.raises(UserError, match="Star 7"), recording(client, "fails", tmp_path):
        gather(
            client, client.map(fail, [0], pure=False), stage="predict", unit="stars", planned=[1]
        )
    state = state_of(tmp_path)
    assert (state.state, state.ended.message) == ("failed", "Star 7 is odd; remove it.")
    assert [event.reason for event in state.failures] == ["Star 7 is odd; remove it."]


def test_a_job_that_is_interrupted_is_cancelled(client, tmp_path):
    with pytest.raises(KeyboardInterrupt), recording(client, "stops", tmp_path):
        raise KeyboardInterrupt
    assert state_of(tmp_path).state == "cancelled"


def test_warnings_of_a_job_are_events_and_those_after_it_are_not(client, tmp_path):
    log = logging.getLogger("rrl_batch.somewhere")
    with recording(client, "warns", tmp_path):
        log.warning("%d labels are of no star", 3)
        log.info("nothing to worry about")
    log.warning("not of this job")
    assert [event.message for event in state_of(tmp_path).warnings] == ["3 labels are of no star"]


def test_a_torn_line_does_not_spoil_the_next(client, tmp_path):
    (tmp_path / EVENTS_FILE).write_text('{"event":"TaskDo')
    with recording(client, "torn", tmp_path):
        pass
    *_, last = read_events(tmp_path)
    assert isinstance(last, JobEnded)
    assert len(list(read_events(tmp_path))) == 2
