"""What the scheduler knows of our jobs, and the page that shows it."""

import functools
import logging
from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import SchedulerPlugin

from rrl_batch.cluster.clock import keep_sending
from rrl_batch.cluster.dashboard.metrics import publish, withdraw
from rrl_batch.cluster.events import from_json
from rrl_batch.cluster.recorder import TOPIC
from rrl_batch.cluster.state import RunState

if TYPE_CHECKING:
    from bokeh.server.tornado import BokehTornado
    from distributed import Scheduler

PAGE = "rrl"
MOST_JOBS = 20
"""Jobs that are remembered; of more, those that were heard of last."""

log = logging.getLogger(__name__)


class JobsPlugin(SchedulerPlugin):
    """Listens to the events of all jobs, and serves the page and the counters drawn from them.

    Attributes
    ----------
    jobs : dict of str to RunState
        By identifier, the job that was heard of last at the end.
    """

    name = "rrl-batch-jobs"
    idempotent = True

    def __init__(self) -> None:
        self.jobs: dict[str, RunState] = {}
        self._server: BokehTornado | None = None

    async def start(self, scheduler: "Scheduler") -> None:
        """Take in what was told before, and add the page to the dashboard, if there is one."""
        keep_sending()
        for _, lines in scheduler.get_events(TOPIC):
            self._take_in(lines)
        publish(self)
        self._server = _serve(self, scheduler)

    async def close(self) -> None:
        """Stop serving."""
        withdraw(self)
        if self._server is not None:
            self._server.stop()

    def log_event(self, topic: str, msg: Any) -> None:
        """Take in events, of whatever job."""
        if topic == TOPIC:
            self._take_in(msg)

    def _take_in(self, lines: list[str]) -> None:
        for line in lines:
            try:
                event = from_json(line)
            except ValueError as error:
                log.warning("The scheduler was told what is %s", error)
                continue
            # the job that was heard of last goes to the end
            state = self.jobs.pop(event.job, None) or RunState()
            self.jobs[event.job] = state
            state.apply(event)
        while len(self.jobs) > MOST_JOBS:
            del self.jobs[next(iter(self.jobs))]


class _Link(str):
    """A page's name in the navigation of Dask's pages."""

    __slots__ = ()

    def title(self) -> str:
        """Return what people read."""
        return "RR Lyrae"


def _title(name: str) -> str:
    """Return a name as the page says it: the filter `title` of Jinja2 would not ask."""
    return name.title()


def _serve(plugin: JobsPlugin, scheduler: "Scheduler") -> "BokehTornado | None":
    """Serve the page beside Dask's own, with a link on each of these."""
    from bokeh.server.tornado import BokehTornado
    from distributed.dashboard.components.scheduler import env
    from distributed.dashboard.core import BokehApplication
    from distributed.dashboard.scheduler import template_variables
    from tornado.ioloop import IOLoop

    from rrl_batch.cluster.dashboard.page import jobs_page

    applications = scheduler.http_application.applications
    ours = [app for app in applications if isinstance(app, BokehTornado)]
    if not ours:
        return None  # a scheduler without a dashboard
    known = template_variables(scheduler)  # the same for all pages
    known["pages"].insert(0, _Link(PAGE))
    env.filters["title"] = _title
    server = BokehApplication(
        {f"/{PAGE}": functools.partial(jobs_page, plugin)}, scheduler,
        prefix=ours[0].prefix, template_variables=known,
    )  # fmt: skip
    scheduler.http_application.add_application(server)
    server.initialize(IOLoop.current())
    server.start()
    return server
