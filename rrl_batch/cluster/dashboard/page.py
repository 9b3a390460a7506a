"""The page /rrl: a document of Bokeh for each viewer, drawn from the state of a job."""

import time
from typing import TYPE_CHECKING, Any

from bokeh.layouts import column, row
from bokeh.models import Div, RadioButtonGroup, Select
from distributed.dashboard.components import add_periodic_callback
from distributed.dashboard.components.scheduler import BOKEH_THEME, env
from distributed.utils import log_errors

from rrl_batch.cluster.dashboard.charts import Flags, Losses, Metallicities, Rate
from rrl_batch.cluster.dashboard.sky_map import Colouring, SkyMap
from rrl_batch.cluster.dashboard.words import faults, headline, label
from rrl_batch.cluster.state import RunState

if TYPE_CHECKING:
    from bokeh.document import Document
    from distributed import Scheduler

    from rrl_batch.cluster.dashboard.plugin import JobsPlugin

REFRESH_MILLISECONDS = 1000
_COLOURINGS: tuple[Colouring, ...] = ("state", "feh")


@log_errors
def jobs_page(
    plugin: "JobsPlugin", scheduler: "Scheduler", extra: dict[str, Any], doc: "Document"
) -> None:
    """Fill a document with the page; ``/rrl?job=ID`` asks for a job.

    Parameters
    ----------
    plugin : JobsPlugin
        Which knows the jobs.
    scheduler : distributed.Scheduler
        Whose dashboard it is.
    extra : dict
        What Dask's template needs, as its own pages are given.
    doc : bokeh.document.Document
        The viewer's document.
    """
    asked_for = doc.session_context.request.arguments.get("job", [b""])[0].decode()
    page = JobsPage(plugin.jobs, asked_for)
    doc.title = f"RR Lyrae stars on {scheduler.address}"
    add_periodic_callback(doc, page, REFRESH_MILLISECONDS)
    doc.add_root(page.root)
    doc.template = env.get_template("simple.html")
    doc.template_variables.update(extra)
    doc.theme = BOKEH_THEME


class JobsPage:
    """The job that a viewer has chosen, or else the one that began last.

    Parameters
    ----------
    jobs : dict of str to RunState
        All jobs, by identifier; it changes as events come.
    chosen : str, optional
        Identifier of the job to show.

    Attributes
    ----------
    root : bokeh.models.LayoutDOM
        The page.
    """

    def __init__(self, jobs: dict[str, RunState], chosen: str = "") -> None:
        self._jobs = jobs
        self._choice = Select(title="Job", options=[], width=420)
        self._choice.on_change("value", self._choose)
        self._chosen, self._shown = chosen, ""
        self._colouring = RadioButtonGroup(labels=["State", "Mean [Fe/H]"], active=0, width=220)
        self._colouring.on_change("active", self._colour)
        self._headline = Div(sizing_mode="stretch_width")
        self._faults = Div(sizing_mode="stretch_width")
        self._map, self._rate, self._losses = SkyMap(), Rate(), Losses()
        self._metallicities, self._flags = Metallicities(), Flags()
        self.root = column(
            row(self._headline, column(self._choice, self._colouring), sizing_mode="stretch_width"),
            row(
                self._map.root,
                column(self._rate.root, self._metallicities.root, width=420),
                sizing_mode="stretch_width",
            ),
            row(self._losses.root, self._flags.root, sizing_mode="stretch_width"),
            self._faults,
            sizing_mode="stretch_width",
        )
        self.update()

    def update(self) -> None:
        """Show how the job is now."""
        options = [(job, label(job, state)) for job, state in sorted(self._jobs.items())]
        if options != self._choice.options:
            self._choice.options = options
        newest = max(self._jobs, key=lambda job: self._jobs[job].began, default="")
        job = self._shown = self._chosen if self._chosen in self._jobs else newest
        if self._choice.value != job:
            self._choice.value = job
        self._show(job, self._jobs.get(job, RunState()))

    def _show(self, job: str, state: RunState) -> None:
        now = time.time()
        words = headline(job, state, now) if job else _NO_JOBS
        if words != self._headline.text:
            self._headline.text = words
        predict = state.stages.get("predict")
        self._map.update(state.sky)
        self._rate.update(state.current, now)
        self._metallicities.update(state, predict)
        self._flags.update(predict)
        self._losses.update(state)
        words = faults(state)
        if words != self._faults.text:
            self._faults.text = words

    def _choose(self, _name: str, _old: str, new: str) -> None:
        if new != self._shown:  # by the viewer, and not by `update`
            self._chosen = new
            self.update()

    def _colour(self, _name: str, _old: int, new: int) -> None:
        self._map.colour_by(_COLOURINGS[new])


_NO_JOBS = '<span style="font: 16px system-ui, sans-serif">No job has run here yet.</span>'
