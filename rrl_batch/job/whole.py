"""A whole job, and what must fit together in it."""

import reprlib
from collections.abc import Iterable, Sequence
from itertools import chain, product
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError, model_validator

from rrl_batch.errors import UserError, hint
from rrl_batch.job.cluster import ClusterSection
from rrl_batch.job.comparison import ExperimentSection, SearchSection, require_finite
from rrl_batch.job.data import (
    CatalogueSection,
    EvaluationSection,
    LabelsSection,
    PreprocessSection,
    SimulateSection,
    SurveySection,
)
from rrl_batch.job.predictor import FitOptions, ModelSection, TrainingSection
from rrl_batch.job.section import Section

_WRITTEN = ("model", "catalogue", "evaluation", "experiment", "search")
"""Sections whose path is written to, by whatever makes it."""


class Job(Section):
    """A whole job."""

    simulate: SimulateSection | None = None
    survey: SurveySection = SurveySection()
    labels: LabelsSection = LabelsSection()
    preprocess: PreprocessSection = PreprocessSection()
    model: ModelSection = ModelSection()
    training: TrainingSection = TrainingSection()
    catalogue: CatalogueSection = CatalogueSection()
    evaluation: EvaluationSection = EvaluationSection()
    experiment: ExperimentSection | None = None
    search: SearchSection | None = None
    cluster: ClusterSection = ClusterSection()

    @model_validator(mode="after")
    def _has_priors(self) -> Self:
        if self.preprocess.smoothing == "population":
            from rrl_batch.lightcurve.population_prior import PERIOD_SCALES

            without = [mode for mode in self.training.modes if mode not in PERIOD_SCALES]
            if without:
                raise ValueError(
                    f"preprocess.smoothing = 'population' is for {' and '.join(PERIOD_SCALES)}, "
                    f"not for {without[0]}; take it out of training.modes, or another smoothing."
                )
        return self

    @model_validator(mode="after")
    def _own_options_are_used(self) -> Self:
        if self.training.of:
            from rrl_batch.models.registry import require_used

            for kind, own in self.training.of.items():
                try:
                    given = [f"training.{name}" for name in own.model_fields_set]
                    require_used(kind, given, f"[training.of.{kind}]")
                except UserError as error:
                    raise ValueError(str(error)) from None
        return self

    def __repr__(self) -> str:
        chosen = self.model_dump(mode="json", exclude_defaults=True)
        options = [f"{s}.{key} = {v!r}" for s, keys in chosen.items() for key, v in keys.items()]
        return f"<Job: {', '.join(options) or 'every option as it is by default'}>"

    def require(self, *sections: str) -> None:
        """Check that the paths that a command needs are given.

        Parameters
        ----------
        *sections : str
            Sections with a path.

        Raises
        ------
        UserError
            If one of them has no path.
        """
        for name in sections:
            if getattr(getattr(self, name), "path", None) is None:
                raise UserError(
                    f"The job names no {name}.path; add it to the section [{name}] of the job "
                    f"file, or give --set {name}.path=…"
                )

    def paths(self) -> dict[str, Path]:
        """Return the paths that are given, by section."""
        paths = {
            name: getattr(section, "path", None)
            for name in type(self).model_fields
            if (section := getattr(self, name)) is not None
        }
        return {name: path for name, path in paths.items() if path is not None}

    def check_where_it_writes(self, file: Path, settings: Sequence[str]) -> None:
        """Check that a job's file lets it write nowhere but below this folder and its own.

        Whose file it was may have had another folder in mind, or mischief; what is named on the
        command line is the user's own word. Links are followed.

        Parameters
        ----------
        file : pathlib.Path
            The job file.
        settings : sequence of str
            Settings that were given on the command line, ``section.key=value``.

        Raises
        ------
        UserError
            If it would write elsewhere.
        """
        allowed = [Path.cwd(), file.resolve().parent]
        made = ("survey", "labels") if self.simulate else ()
        given = {setting.partition("=")[0].strip() for setting in settings}
        for name in (*made, *_WRITTEN):
            path = self.paths().get(name)
            if path is None or f"{name}.path" in given:
                continue
            if not any(path.resolve().is_relative_to(folder) for folder in allowed):
                raise UserError(
                    f"{file} writes to {path.resolve()} ({name}.path), which is neither below this "
                    f"folder nor below that of the file; if that is meant, say so: --set "
                    f"{name}.path={path}."
                )

    def absolute(self, folder: Path) -> "Job":
        """Return this job with absolute paths, where those given are relative to a folder."""
        return make_job(_absolute(self.model_dump(exclude_none=True), folder), "job")

    def with_settings(self, settings: dict[str, Any], where: str) -> "Job":
        """Return this job with some options of preprocess, model or training set otherwise.

        Parameters
        ----------
        settings : dict
            Values by ``section.key``.
        where : str
            What they belong to, for messages.

        Raises
        ------
        UserError
            If there is no such option, its value is not valid, or it is the same for all cases.
        """
        content = self.model_dump(mode="json", exclude_unset=True, exclude={"experiment", "search"})
        for name, value in settings.items():
            section = name.partition(".")[0]
            if section not in ("preprocess", "model", "training") or name in _COMMON:
                raise UserError(
                    f"{where}: '{name}' cannot differ between cases; only options of preprocess, "
                    f"model and training can, but for {', '.join(_COMMON)}."
                )
            put(content, name, value)
        job = make_job(content, where)
        _require_used(job, settings, where)
        return job

    def cases(self) -> dict[str, "Job"]:
        """Return the cases of the experiment by name, those of the grid first.

        Raises
        ------
        UserError
            If there is none, or a name or option is not valid.
        """
        from rrl_batch.experiment.folder import CHOSEN, STRETCHED

        experiment = self.experiment or ExperimentSection()
        settings = experiment.settings()
        if not settings:
            raise UserError("[experiment] has no case; give it a grid or cases.")
        cases = {
            name: self.with_settings(changed, f"case '{name}'")
            for name, changed in settings.items()
        }
        for name, case in cases.items():
            if len(case.model.kinds) > 1:
                raise UserError(
                    f"case '{name}' has several architectures; give each a case, and their mean a "
                    f"line in [experiment.blends]."
                )
        for name in experiment.blends:
            if name in cases:
                raise UserError(f"[experiment] has a case and a blend '{name}'; rename one.")
        known = [*cases, *experiment.blends]
        for taken in (self.labels.rival, CHOSEN, STRETCHED):
            if taken in known:
                raise UserError(
                    f"[experiment] has a case or blend '{taken}', which is the name of something "
                    f"else in its tables; rename it."
                )
        blended = list(chain.from_iterable(experiment.blends.values()))
        chosen = [*filter(None, [experiment.reference]), *experiment.choose_from]
        for names, among in ((blended, list(cases)), (chosen, known)):
            for name in names:
                if name not in among:
                    raise UserError(
                        f"[experiment] names '{name}', which is no case; {hint(name, among)}"
                    )
        if experiment.choose_from:
            self._require_pairs()
        return cases

    def search_points(self) -> list["Job"]:
        """Return this job with every combination of the values that a search may try.

        Raises
        ------
        UserError
            If there is nothing to search, or an option or value is not valid.
        """
        space = (self.search or SearchSection()).space
        if not space:
            raise UserError("[search.space] is empty; give it options and the values to try.")
        require_finite("search.space", space)
        points = [
            self.with_settings(dict(zip(space, values, strict=True)), "[search.space]")
            for values in product(*space.values())
        ]
        if any(len(point.model.kinds) > 1 for point in points):
            raise UserError(
                "A search is for the settings of one architecture, and model.architecture and "
                "model.beside have several; search for each in turn."
            )
        self._require_pairs()
        return points

    def _require_pairs(self) -> None:
        """Refuse too few folds to choose within; those that labels come with are not known yet."""
        if self.labels.fold is None:
            from rrl_batch.training.folds import require_pairs

            require_pairs(self.training.folds)

    def nested_cases(self) -> set[str]:
        """Return the cases that predictors to choose from are made of."""
        experiment = self.experiment or ExperimentSection()
        return set(
            chain.from_iterable(
                experiment.blends.get(name, (name,)) for name in experiment.choose_from
            )
        )


_COMMON = ("model.path", "training.folds", "training.repeats", "training.modes", "training.seed")
"""Options that are the same for all cases: these share their stars and folds."""


OPTIONAL: dict[str, type[Section]] = {
    "simulate": SimulateSection, "experiment": ExperimentSection, "search": SearchSection,
}  # fmt: skip
"""Sections that a job may lack."""


def make_job(content: dict[str, Any], where: str) -> Job:
    """Check the content of a job.

    Parameters
    ----------
    content : dict
        Sections and their keys.
    where : str
        Where it comes from, for messages.

    Raises
    ------
    UserError
        If a section, key or value is not one of a job.
    """
    try:
        return Job.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{where}: {_sentence(error)}") from None


def _absolute(content: Any, folder: Path) -> Any:
    if isinstance(content, dict):
        return {key: _absolute(value, folder) for key, value in content.items()}
    return folder / content if isinstance(content, Path) else content


def put(content: dict[str, Any], key: str, value: Any) -> None:
    """Give an option its value.

    Parameters
    ----------
    content : dict
        Sections and their keys.
    key : str
        The option: `section.key`, or deeper.
    value
        Its value.

    Raises
    ------
    UserError
        If there is a key where a section belongs.
    """
    *sections, name = key.split(".")
    table: Any = content
    for i, section in enumerate(sections, 1):
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            inner = ".".join(sections[:i])
            raise UserError(f"The job has a key '{inner}' where a section [{inner}] belongs.")
    table[name] = value


def _require_used(job: Job, settings: Iterable[str], where: str) -> None:
    """Refuse settings that a case is given and its kind of predictor does not look at."""
    from rrl_batch.models.registry import require_used

    for kind in job.model.kinds:
        require_used(kind, settings, where)
        for name in job.training.of.get(kind, FitOptions()).model_fields_set:
            if f"training.{name}" in settings:
                raise UserError(
                    f"{where}: training.{name} does not change a '{kind}', since "
                    f"training.of.{kind}.{name} is given; set that one."
                )


def _sentence(error: ValidationError) -> str:
    """Say what is wrong with the first of the faults."""
    fault = error.errors()[0]
    if fault["type"] == "value_error":  # what does not fit together, in a sentence of ours
        return str(fault["ctx"]["error"])
    location = [str(part) for part in fault["loc"] if not isinstance(part, int)]
    name = ".".join(location)
    if fault["type"] == "extra_forbidden":
        known = _known_names(location[:-1])
        kind = "key" if len(location) > 1 else "section"
        return f"unknown {kind} '{name}'; {hint(location[-1], known)}"
    message = fault["msg"][0].lower() + fault["msg"][1:]
    message = message.replace("tuple", "list")  # which is what TOML has
    return f"'{name}' = {reprlib.repr(fault['input'])} is not valid: {message}."


def _known_names(location: list[str]) -> list[str]:
    if not location:
        return list(Job.model_fields)
    if location[:2] == ["training", "of"]:
        return list(FitOptions.model_fields)
    section = OPTIONAL.get(location[0])
    return list((section or type(getattr(Job(), location[0]))).model_fields)
