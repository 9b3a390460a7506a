"""Counters of our jobs on the scheduler's /metrics, for Prometheus."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from prometheus_client.core import CounterMetricFamily

    from rrl_batch.cluster.dashboard.plugin import JobsPlugin

_SKY_STAGE = "predict"


class JobsCollector:
    """Counts what the jobs of all schedulers in this process have done."""

    def __init__(self) -> None:
        self.plugins: WeakSet[JobsPlugin] = WeakSet()

    def describe(self) -> list[Any]:
        """Return nothing: what is collected depends on the jobs."""
        return []

    def collect(self) -> "Iterator[CounterMetricFamily]":
        """Yield the counters, each with a label for the job."""
        from prometheus_client.core import CounterMetricFamily

        stars = CounterMetricFamily(
            "rrl_batch_stars", "Stars in the catalogue of a job", labels=["job"]
        )
        predicted = CounterMetricFamily(
            "rrl_batch_stars_predicted", "Stars of them with a metallicity", labels=["job"]
        )
        flagged = CounterMetricFamily(
            "rrl_batch_stars_flagged", "Stars of them with a flag", labels=["job", "flag"]
        )
        seconds = CounterMetricFamily(
            "rrl_batch_compute_seconds", "Time of computing of a stage's tasks that are done, in s",
            labels=["job", "stage"],
        )  # fmt: skip
        failed = CounterMetricFamily(
            "rrl_batch_tasks_failed", "Tasks of a stage that have failed", labels=["job", "stage"]
        )
        jobs = [item for plugin in self.plugins for item in plugin.jobs.items()]
        for job, state in jobs:
            for stage in state.order:
                seconds.add_metric([job, stage.name], stage.seconds)
                failed.add_metric([job, stage.name], len(stage.failures))
            if sky := state.stages.get(_SKY_STAGE):
                stars.add_metric([job], sky.rows)
                predicted.add_metric([job], sky.counts["predicted"])
                for flag, number in sky.counts.items():
                    if flag != "predicted":
                        flagged.add_metric([job, flag], number)
        yield from (stars, predicted, flagged, seconds, failed)


_COLLECTOR = JobsCollector()


def publish(plugin: "JobsPlugin") -> None:
    """Let /metrics count the jobs of a plugin."""
    from prometheus_client import REGISTRY

    if not _COLLECTOR.plugins:
        REGISTRY.register(_COLLECTOR)
    _COLLECTOR.plugins.add(plugin)


def withdraw(plugin: "JobsPlugin") -> None:
    """Count the jobs of a plugin no longer."""
    from prometheus_client import REGISTRY

    if plugin in _COLLECTOR.plugins:
        _COLLECTOR.plugins.remove(plugin)
        if not _COLLECTOR.plugins:
            REGISTRY.unregister(_COLLECTOR)
