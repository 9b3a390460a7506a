"""What the page shows of a job, without a browser."""

import time
from collections import Counter

import pytest
from cluster.dashboard.simulated_job import job_events, whole_sky

from rrl_batch.cluster.dashboard.charts import MOST_POINTS
from rrl_batch.cluster.dashboard.page import JobsPage
from rrl_batch.cluster.dashboard.sky_map import COLOURS
from rrl_batch.cluster.dashboard.words import duration
from rrl_batch.cluster.events import Advanced, EpochEnded, StageStarted, TaskDone
from rrl_batch.cluster.state import RunState

NOW = 1_800_000_000.0
SKY = whole_sky(2)


def page_of(part, **how):
    state = RunState.of(job_events(SKY, part, now=NOW, **how))
    return JobsPage({"a-job": state}), state


def states_on(page):
    """How many pixels are shown in each state; some lie on both sides of the map's edge."""
    data = page._map._source.data
    return Counter(dict(zip(data["pixel"], data["state"], strict=True)).values())


@pytest.fixture
def patched(monkeypatch):
    """The numbers of values that are sent of what changes."""
    from bokeh.models import ColumnDataSource

    sent = []
    patch = ColumnDataSource.patch

    def count(self, patches):
        sent.append({name: len(values) for name, values in patches.items()})
        patch(self, patches)

    monkeypatch.setattr(ColumnDataSource, "patch", count)
    return sent


def test_the_map_has_every_pixel_in_its_state():
    for part, done in ((0, 0), (0.5, 96), (1, 192)):
        page, _ = page_of(part)
        found = states_on(page)
        assert (found["done"], sum(found.values())) == (done, 192)
        assert found["running"] == min(8, 192 - done)
        assert set(page._map._source.data["colour"]) <= set(COLOURS.values())


def test_only_what_has_changed_is_sent(patched):
    page, state = page_of(0.5)
    page.update()
    assert patched == []
    for event in job_events(SKY, 0.51, now=NOW + 1):
        if isinstance(event, TaskDone | Advanced) and event.task >= 96:
            state.apply(event.__class__(**vars(event) | {"began": state.sky.began}))
    page.update()
    (sent,) = patched
    assert sent["state"] < 20
    found = states_on(page)
    assert (found["done"], found["running"]) == (98, 8)


def test_a_stage_that_begins_anew_is_drawn_anew():
    page, state = page_of(0.5)
    for event in job_events(SKY[:48], 0, now=NOW + 1000):
        state.apply(event)
    page.update()
    assert sum(states_on(page).values()) == 48


def test_the_map_is_coloured_by_metallicity_on_demand():
    page, _ = page_of(0.5)
    page._colouring.active = 1
    data = page._map._source.data
    colours = {c for c, s in zip(data["colour"], data["state"], strict=True) if s == "done"}
    assert len(colours) > 20
    assert colours.isdisjoint(COLOURS.values())
    page._colouring.active = 0
    assert states_on(page)["done"] == 96
    assert set(page._map._source.data["colour"]) == {
        COLOURS["done"], COLOURS["waiting"], COLOURS["running"],
    }  # fmt: skip


def test_the_charts_show_what_is_known():
    page, state = page_of(0.5)
    stars = 96 * 200
    top = page._metallicities._catalogue.data["top"]
    assert top.sum() * 0.1 == pytest.approx(1)
    assert page._metallicities._training.data["y"].sum() * 0.1 == pytest.approx(1)
    flags = dict(zip(page._flags._source.data["y"], page._flags._source.data["right"], strict=True))
    assert flags["sparse"] == pytest.approx(state.sky.counts["SPARSE"] / stars)
    lines = page._losses._stopping.data
    assert lines["member"] == [f"gru_0_{fold}" for fold in range(5)]
    assert [len(xs) for xs in lines["xs"]] == [40] * 5
    page._rate.update(state.current, NOW)
    assert page._rate._source.data["top"].sum() * 10 == pytest.approx(stars)


def test_long_training_is_thinned_out_and_keeps_its_last_pass():
    at = {"job": "a-job", "stage": "train", "began": NOW, "time": NOW}
    events = [EpochEnded(**at, member="gru_0_0", epoch=n, loss=1.0) for n in range(1, 1004)]
    state = RunState.of([StageStarted(**at, unit="epochs", planned=[1003]), *events])
    (xs,) = JobsPage({"a-job": state})._losses._stopping.data["xs"]
    assert len(xs) <= MOST_POINTS
    assert xs[-1] == 1003


def test_words_are_escaped_and_failures_have_their_reason():
    page, _ = page_of(0.5, failing=100)
    assert "<b>The disk" not in page._faults.text + page._headline.text
    assert "&lt;b&gt;The disk is full&lt;/b&gt;; free some space." in page._faults.text
    assert "predict, task 100 (order 2, pixel 100)" in page._faults.text
    assert "3 labels are of stars that are not in the survey." in page._faults.text
    assert states_on(page)["failed"] == 1
    assert "failed" in page._headline.text


def test_a_viewer_sees_the_job_that_began_last_until_another_is_chosen():
    jobs = {}
    page = JobsPage(jobs)
    assert "No job has run here yet." in page._headline.text
    jobs["first"] = RunState.of(job_events(SKY, 1, now=NOW, job="first"))
    page.update()
    assert (page._choice.value, states_on(page)["done"]) == ("first", 192)
    jobs["second"] = RunState.of(job_events(SKY, 0.5, now=NOW + 500, job="second"))
    page.update()
    assert (page._choice.value, states_on(page)["done"]) == ("second", 96)
    assert [job for job, _ in page._choice.options] == ["first", "second"]
    page._choice.value = "first"
    page.update()
    assert (page._choice.value, states_on(page)["done"]) == ("first", 192)
    assert states_on(JobsPage(jobs, "first"))["done"] == 192
    assert states_on(JobsPage(jobs, "unknown"))["done"] == 96


def test_nothing_is_drawn_of_a_job_without_a_sky():
    state = RunState.of(job_events([], 0, now=time.time())[:3])
    page = JobsPage({"a-job": state})
    assert states_on(page) == {}
    assert "no stage over the sky" in page._map.root.title.text


@pytest.mark.parametrize(("seconds", "words"), [
    (None, "?"), (0, "0 s"), (59.6, "1 min 00 s"), (3900, "1 h 05 min"), (7.2e6, "2,000 h 00 min"),
])  # fmt: skip
def test_durations_are_for_people(seconds, words):
    assert duration(seconds) == words
