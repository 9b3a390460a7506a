"""The page /rrl on Dask's dashboard: jobs as they run, a map of the sky, curves and counts.

`rrl_batch.cluster.connect` adds it to the scheduler that it connects to. A scheduler that is
started by hand has it from the beginning with ``dask scheduler --preload
rrl_batch.cluster.dashboard``.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Scheduler


def dask_setup(scheduler: "Scheduler") -> None:
    """Add the page to a scheduler that loads this module and then starts its plugins."""
    from rrl_batch.cluster.dashboard.plugin import JobsPlugin

    scheduler.add_plugin(JobsPlugin(), idempotent=True)
