"""Draw the screenshots of the page /rrl: `python docs/dashboard.py JOB_FOLDER`.

The events of a job that was run are told to a scheduler as they were when none, half and all of its
catalogue was done, with their times moved to now; headless Chromium shows the page.
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from distributed import LocalCluster
from PIL import Image

from rrl_batch.cluster.dashboard.plugin import JobsPlugin
from rrl_batch.cluster.events import Advanced, Event, JobEnded, StageStarted, TaskDone, read_events
from rrl_batch.cluster.recorder import TOPIC

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browser import browser

DOCS = Path(__file__).parent
STAGE = "predict"
SHOTS = (("0", 0.0, "State"), ("50", 0.5, "State"), ("100", 1.0, "Mean [Fe/H]"))
CHOOSE = """(() => {
  for (const model of Bokeh.documents[0]._all_models.values())
    if (model.type == "RadioButtonGroup") model.active = model.labels.indexOf(%s)
})()"""


def events_by(events: list[Event], part: float) -> list[Event]:
    """Return what had happened when a part of the tasks was done, as if that was now."""
    mine = [event for event in events if getattr(event, "stage", "") == STAGE]
    (start,) = (event for event in mine if isinstance(event, StageStarted))
    done = [event for event in mine if isinstance(event, TaskDone)]
    number = round(part * len(done))
    then = done[number - 1].time if number else start.time
    if part == 1:
        then = next(event.time for event in events if isinstance(event, JobEnded))
    stage = {"stage": STAGE, "began": start.began, "job": start.job, "time": then}
    # a task that was done a little later, after some time of computing, was running
    running = [
        Advanced(**stage, task=event.task, done=0.0)
        for event in done[number:]
        if event.time - event.seconds <= then
    ]
    shift = time.time() - then
    moved = [event for event in events if event.time <= then] + running
    return [
        replace(event, time=event.time + shift, **_moved_stage(event, shift)) for event in moved
    ]


def _moved_stage(event: Event, shift: float) -> dict[str, float]:
    return {"began": event.began + shift} if hasattr(event, "began") else {}


def main() -> None:
    events = list(read_events(Path(sys.argv[1])))
    for name, part, colouring in SHOTS:
        with (
            TemporaryDirectory() as profile,
            LocalCluster(
                n_workers=0, processes=False, host="127.0.0.1", protocol="tcp",
                dashboard_address="127.0.0.1:0",
            ) as cluster,
            cluster.get_client() as client,
            browser(Path(profile), height=1190) as tab,
        ):  # fmt: skip
            client.register_plugin(JobsPlugin())
            client.log_event(TOPIC, [event.to_json() for event in events_by(events, part)])
            address = client.dashboard_link.replace("/status", "/rrl")
            tab.call("Page.navigate", url=address)
            tab.wait_for("window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle")
            tab.evaluate(CHOOSE % json.dumps(colouring))
            time.sleep(3)
            file = DOCS / f"dashboard_{name}.png"
            tab.screenshot(file)
        with Image.open(file) as shot:
            smaller = shot.convert("RGB").quantize(
                256, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE
            )
        smaller.save(file, optimize=True)
        print(f"{file}: {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
