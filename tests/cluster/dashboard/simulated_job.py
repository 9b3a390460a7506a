"""Events of a job that nobody has run: a sky of HEALPix pixels, made up but for its geometry."""

import numpy as np

from rrl_batch.cluster.events import (
    Advanced,
    EpochEnded,
    Event,
    JobEnded,
    JobStarted,
    Piece,
    StageEnded,
    StageStarted,
    TaskDone,
    TaskFailed,
    TrainingSetKnown,
    Warned,
)
from rrl_batch.contracts.histogram import feh_histogram
from rrl_batch.storage.sky import Pixel


def job_events(
    pixels: list[Pixel], part: float, *, now: float, job: str = "a-job", failing: int | None = None
) -> list[Event]:
    """Return the events of a job that has predicted a part of the pixels, a task each, by now."""
    rng = np.random.default_rng(0)
    n_done = round(part * len(pixels))
    began = now - 60 - 0.1 * n_done
    at = {"job": job}
    train = at | {"stage": "train", "began": began + 5}
    predict = at | {"stage": "predict", "began": began + 30}
    events: list[Event] = [
        JobStarted(**at, time=began, title="A sky that is made up", command="rrl-batch run x.toml"),
        StageStarted(**train, time=began + 5, unit="epochs", planned=[40.0] * 5),
    ]
    for task in range(5):
        events += [
            EpochEnded(
                **train, time=began + 5 + n / 2, member=f"gru_0_{task}", epoch=n, task=task,
                loss=float(1.5 * np.exp(-n / 12) + 0.1 + rng.normal(0, 0.01)),
                stopping_loss=float(1.4 * np.exp(-n / 11) + 0.2 + rng.normal(0, 0.02)),
            )
            for n in range(1, 41)
        ]  # fmt: skip
        events.append(
            TaskDone(**train, time=began + 26, task=task, amount=40.0, fresh=0.0, seconds=20.0)
        )
    events += [
        StageEnded(**train, time=began + 26),
        Warned(**at, time=began + 27, message="3 labels are of stars that are not in the survey."),
        TrainingSetKnown(
            **at, time=began + 29, histogram=feh_histogram(rng.normal(-1.4, 0.6, 2000))
        ),
        StageStarted(
            **predict, time=began + 30, unit="stars", planned=[200.0] * len(pixels),
            pixels=[[pixel] for pixel in pixels],
        ),
    ]  # fmt: skip
    for task, pixel in enumerate(pixels[:n_done]):
        feh = rng.normal(-1.5 + 0.4 * np.sin(pixel.pixel / 4**pixel.order * 6), 0.4, 200)
        counts = {"predicted": 200, "SPARSE": int(rng.integers(60, 120)), "PHASE_GAP": 3}
        piece = Piece(pixel, 200, counts, round(float(feh.mean()), 4), feh_histogram(feh))
        events.append(
            TaskDone(
                **predict, time=began + 30 + 0.1 * task, task=task, amount=200.0, fresh=200.0,
                seconds=0.2, pieces=[piece],
            )
        )  # fmt: skip
    running = range(n_done, min(n_done + 8, len(pixels)))
    events += [Advanced(**predict, time=now, task=task, done=0.0) for task in running]
    if failing is not None:
        reason = "<b>The disk is full</b>; free some space."
        events.append(TaskFailed(**predict, time=now, task=failing, reason=reason))
        events.append(JobEnded(**at, time=now, state="failed", message=reason))
    elif n_done == len(pixels):
        events.append(StageEnded(**predict, time=began + 30 + 0.1 * n_done))
        events.append(JobEnded(**at, time=began + 31 + 0.1 * n_done, state="done"))
    return events


def whole_sky(order: int) -> list[Pixel]:
    return [Pixel(order, pixel) for pixel in range(12 * 4**order)]
