"""The page on a scheduler's dashboard, its counters, and what a browser makes of it."""

import asyncio
import json
import time
import urllib.request

import pytest
from browser import CHROMIUM, browser
from cluster.dashboard.simulated_job import job_events, whole_sky
from distributed import LocalCluster, Scheduler
from tornado.httpclient import AsyncHTTPClient

from rrl_batch.cluster.dashboard.plugin import MOST_JOBS, JobsPlugin
from rrl_batch.cluster.events import JobStarted, TaskDone
from rrl_batch.cluster.recorder import TOPIC
from rrl_batch.storage.manifest import Manifest


def get(client, page):
    """Return a page of the dashboard."""
    address = client.dashboard_link.replace("/status", f"/{page}")
    with urllib.request.urlopen(address) as answer:  # noqa: S310
        return answer.read().decode()


def tell(client, events):
    client.log_event(TOPIC, [event.to_json() for event in events])


@pytest.fixture
def sky_job(client):
    """A job on the cluster that is half done, with a name of its own."""
    events = job_events(whole_sky(2), 0.5, now=time.time(), job="half-done")
    tell(client, events)
    return events


def test_the_page_is_served_and_in_the_navigation_of_the_others(client):
    for page in ("rrl", "status", "workers"):
        assert "RR Lyrae</a>" in get(client, page)


def test_it_loads_nothing_from_elsewhere(client):
    page = get(client, "rrl")
    sources = [part.split('"')[0] for part in page.split('src="')[1:]]
    assert sources
    assert not [source for source in sources if "//" in source]


def test_counters_are_those_of_the_catalogue(client, run):
    manifest = Manifest.read(run.catalogue)
    # told again, as this worker's cluster may not be the one that ran it
    client.log_event(TOPIC, (run.events / "events.jsonl").read_text().splitlines())
    lines = get(client, "metrics").splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if line.startswith("rrl_batch"))
    assert float(found['rrl_batch_stars_total{job="run"}']) == 300
    sparse = sum(receipt.counts["SPARSE"] for receipt in manifest.partitions)
    assert float(found['rrl_batch_stars_flagged_total{flag="SPARSE",job="run"}']) == sparse
    assert float(found['rrl_batch_compute_seconds_total{job="run",stage="predict"}']) > 0


def test_a_scheduler_that_loads_the_module_has_the_page():
    async def look():
        async with Scheduler(
            dashboard_address="127.0.0.1:0", preload="rrl_batch.cluster.dashboard",
            host="127.0.0.1", port=0,
        ) as scheduler:  # fmt: skip
            address = f"http://127.0.0.1:{scheduler.http_server.port}/rrl"
            answer = await AsyncHTTPClient().fetch(address, request_timeout=300)
            assert "RR Lyrae" in answer.body.decode()
            plugin = scheduler.plugins[JobsPlugin.name]
            scheduler.log_event(TOPIC, [JobStarted(time=1.0, job="x", title="X").to_json()])
            assert plugin.jobs["x"].started.title == "X"
            # what a client registers does not replace it
            await scheduler.register_scheduler_plugin(JobsPlugin(), idempotent=True)
            assert scheduler.plugins[JobsPlugin.name] is plugin

    asyncio.run(look())


def test_a_scheduler_without_a_dashboard_goes_on_without_the_page():
    with (
        LocalCluster(
            n_workers=0,
            processes=False,
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
        ) as cluster,
        cluster.get_client() as client,
    ):
        tell(client, job_events(whole_sky(0), 1, now=100.0))
        client.register_plugin(JobsPlugin())
        plugin = cluster.scheduler.plugins[JobsPlugin.name]
        assert plugin.jobs["a-job"].state == "done"  # told before it was there


def test_what_is_no_event_is_passed_over_and_old_jobs_are_forgotten():
    plugin = JobsPlugin()
    plugin.log_event(TOPIC, ["no event"])
    plugin.log_event("another topic", ["no event"])
    for i in range(MOST_JOBS + 5):
        plugin.log_event(TOPIC, [JobStarted(time=1.0, job=str(i), title="").to_json()])
    assert list(plugin.jobs) == [str(i) for i in range(5, MOST_JOBS + 5)]


_STATES = """(() => {
  const found = {}
  for (const model of Bokeh.documents[0]._all_models.values())
    if (model.type == "ColumnDataSource" && model.data.pixel)
      Array.from(model.data.state).forEach((s, i) => found[model.data.pixel[i]] = s)
  return JSON.stringify(found)
})()"""


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not here")
def test_a_browser_shows_the_page_and_follows_the_job(client, sky_job, tmp_path):
    def done():
        return sum(s == "done" for s in json.loads(tab.evaluate(_STATES)).values())

    with browser(tmp_path / "profile") as tab:
        address = client.dashboard_link.replace("/status", "/rrl?job=half-done")
        tab.call("Page.navigate", url=address)
        tab.wait_for("window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle")
        assert done() == 96
        tab.screenshot(tmp_path / "page.png")
        assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
        began = next(e.began for e in sky_job if isinstance(e, TaskDone) and e.stage == "predict")
        more = [
            TaskDone(
                time=time.time(), job="half-done", stage="predict", began=began, task=task,
                amount=200, fresh=200,
            )
            for task in range(96, 106)
        ]  # fmt: skip
        tell(client, more)
        tab.wait_for(f"{_STATES}.split('done').length - 1 == 106")
        assert tab.complaints == []
        host = client.dashboard_link.split("/")[2]
        foreign = [url for url in tab.requested if not url.startswith("data:") and host not in url]
        assert foreign == []
