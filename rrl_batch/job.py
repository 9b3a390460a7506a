"""A job file: what to read, how to prepare it, what to train, what to write, and where to run.

Every option is a field below, with its default, unit and meaning. A job file is TOML with these
sections; ``--set section.key=value`` on the command line overrides it, and ``--set simulate=false``
takes a section out.
"""

import reprlib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, product, repeat
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from rrl_batch.errors import UserError, hint
from rrl_batch.storage.remote import path_of

LEAST_MEMORY = 320_000_000
"""Bytes that a worker takes before it has anything to do."""

MOST_COMBINATIONS = 10_000
"""Most cases that a grid, and most points that a search, may have."""


def _location(value: Any) -> Path:
    if not isinstance(value, (str, Path)) and not hasattr(value, "fs"):
        raise ValueError("Input is not a valid path")
    try:
        return path_of(value)
    except UserError as error:
        raise ValueError(str(error)) from None


if TYPE_CHECKING:
    Location = Path
else:
    Location = Annotated[
        Any, PlainValidator(_location), PlainSerializer(str, when_used="json-unless-none")
    ]
    """A path, or that of an object store."""

Values = Annotated[tuple[Any, ...], Field(min_length=1)]
"""What an option is given, one after the other."""


class Section(BaseModel):
    """A section of a job file; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*")
    @classmethod
    def _is_no_path_of_nothing(cls, value: Any) -> Any:
        if isinstance(value, Path) and "\0" in str(value):
            raise ValueError("a path cannot hold a character of value zero")
        return value


class SimulateSection(Section):
    """A synthetic survey, made if the survey's folder does not hold one yet."""

    stars: int = Field(gt=0, description="number of stars")
    seed: int = Field(0, ge=0, description="seed: the same seed gives the same survey")


class SurveySection(Section):
    """The survey: light curves in partitioned Parquet."""

    path: Location | None = Field(None, description="folder of the survey, or s3://…")


class LabelsSection(Section):
    """The metallicities to train on, and to compare the catalogue with."""

    path: Path | None = Field(None, description="Parquet, CSV, VOTable or ECSV file of labels")
    scale: str | None = Field(
        None, description="metallicity scale to use; needed if the file holds several"
    )
    fold: str | None = Field(
        None, description="column with the fold of each star; folds are drawn if not given"
    )
    rival: str | None = Field(
        None,
        description="column with another work's out-of-fold predictions, which an experiment is "
        "compared with, in dex",
    )

    @field_validator("scale", mode="before")
    @classmethod
    def _scale_of_the_truth(cls, scale: Any) -> Any:
        # the scale `true` of simulated stars, given without the quotes that TOML wants
        return "true" if scale is True else scale


class PreprocessSection(Section):
    """From epochs to the input of the network (Eq. 3 of Monti et al. 2024)."""

    dataset: Literal["preprocessed", "smoothed", "raw"] = Field(
        "preprocessed",
        description="preprocessed: smoothed, mean subtracted; smoothed: mean kept; "
        "raw: the epochs themselves, padded and masked",
    )
    alignment: Literal["fourier", "maximum", "rising"] = Field(
        "fourier",
        description="what phase 0 is; fourier: maximum of the first harmonic, measured on the "
        "curve; maximum: maximum light, epoch_g of the star table, as published; rising: where "
        "the curve last gets brighter than its mean on its way to maximum light",
    )
    smoothing: Literal["robust", "scipy", "population"] = Field(
        "robust",
        description="robust: periodic spline with guarded cross-validation; "
        "scipy: the answer of scipy's make_smoothing_spline, as published; "
        "population: harmonics under a prior that all curves of the survey give, for RRab and RRc",
    )
    points: int = Field(
        64,
        ge=8,
        le=1024,
        description="time steps of a sequence; a longer raw curve keeps so many, evenly spread",
    )


class ModelSection(Section):
    """The ensemble: which kinds of predictor, and what they see."""

    path: Location | None = Field(None, description="folder of the model, or s3://…")
    architecture: tuple[str, ...] = Field(
        ("gru",),
        min_length=1,
        description="kind of predictor: fcn, resnet, inceptiontime, lstm, bilstm, convlstm, gru, "
        "bigru, convgru, transformer, mlp, gp, svr or ridge; of several, feh is the mean",
    )
    beside: tuple[str, ...] = Field(
        (),
        description="kinds that are trained and kept as well, but are no part of feh; a gru among "
        "them gives the catalogue's feh_gru",
    )
    static: Literal["none", "period", "shape"] = Field(
        "none",
        description="what networks get beside the curve: nothing, as published, the period, or "
        "all parameters of the curve's shape",
    )
    by_mode: bool = Field(
        False,
        description="whether each of training.modes has members of its own; else all learn from "
        "the stars of all modes",
    )
    dropout: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="rate of all layers of dropout; that of the publication if not given",
    )

    @field_validator("architecture", "beside", mode="before")
    @classmethod
    def _one_architecture(cls, architecture: Any) -> Any:
        return (architecture,) if isinstance(architecture, str) else architecture

    @property
    def kinds(self) -> tuple[str, ...]:
        """All kinds of predictor that are trained, each once."""
        return tuple(dict.fromkeys((*self.architecture, *self.beside)))


class SelectionOptions(Section):
    """Which stars train."""

    modes: tuple[Literal["RRab", "RRc", "RRd"], ...] = Field(
        ("RRab",), min_length=1, description="pulsation modes that the model is for"
    )
    select: str = Field(
        "num_epochs_used >= 50 and amplitude <= 1.4 and phi31_error <= 0.1 and not feh_error > 0.4",
        description="condition that a training star fulfils, in the columns below",
    )

    @field_validator("select")
    @classmethod
    def _is_a_condition(cls, select: str) -> str:
        from rrl_batch.contracts.training import LABELLED_STARS
        from rrl_batch.training.expression import conditions

        try:
            conditions(select, LABELLED_STARS)
        except UserError as error:
            raise ValueError(f"training.select: {error}") from None
        return select

    @field_validator("modes", mode="before")
    @classmethod
    def _one_mode(cls, modes: Any) -> Any:
        return (modes,) if isinstance(modes, str) else modes


class FitOptions(Section):
    """How a predictor is fitted; a kind of predictor may have some of these otherwise."""

    weights: Literal["density", "denseweight"] = Field(
        "density",
        description="density: weights are the inverse density of [Fe/H], clipped, to the power of "
        "weight_strength; denseweight: 1 - weight_strength times the scaled density",
    )
    weight_strength: float = Field(
        1.0, ge=0, description="how much rare [Fe/H] weigh more; 0: all weigh alike"
    )
    weight_errors: bool = Field(
        True, description="whether labels whose errors are all known weigh by 1/error²"
    )
    weight_noise: float = Field(
        0.0,
        ge=0,
        description="how much less noisy light curves weigh: by 1 + (weight_noise times the noise "
        "in mag)²; 0: all weigh alike",
    )
    stop_fraction: float = Field(
        0.15,
        ge=0,
        lt=0.5,
        description="part of the training folds that is set aside to stop training early; 0: "
        "training makes all its passes",
    )
    epochs: int = Field(400, ge=1, description="most passes of a network over its stars")
    patience: int = Field(40, ge=1, description="passes without improvement that end it")
    schedule: Literal["constant", "onecycle"] = Field(
        "constant",
        description="learning rate of networks; onecycle: rises to learning_rate, then falls to "
        "zero with the last of the passes",
    )
    batch_size: int = Field(256, ge=1, description="stars in a training step of a network")
    learning_rate: float = Field(
        0.01, gt=0, description="(highest) learning rate of Adam, for networks"
    )


class TrainingSection(FitOptions, SelectionOptions):
    """Which stars train, and how."""

    folds: int = Field(5, ge=2, description="folds, each of which gives a member of the ensemble")
    repeats: int = Field(
        1,
        ge=1,
        description="how often the stars are divided into folds, each time with other seeds; "
        "members are as many as folds times repeats",
    )
    fraction: float = Field(
        1.0, gt=0, le=1, description="part of the training stars to use, for a learning curve"
    )
    seed: int = Field(0, ge=0, description="seed of folds, initial weights and shuffling")
    of: dict[str, FitOptions] = Field(
        {},
        description="options from weights to learning_rate that a kind of predictor has otherwise, "
        "as a section [training.of.KIND]",
    )

    @field_serializer("of")
    def _what_is_given(self, of: dict[str, FitOptions]) -> dict[str, dict[str, Any]]:
        return {kind: own.model_dump(mode="json", exclude_unset=True) for kind, own in of.items()}

    def of_kind(self, architecture: str) -> "TrainingSection":
        """Return the options for one kind of predictor."""
        own = self.of.get(architecture, FitOptions())
        return self.model_copy(update=own.model_dump(exclude_unset=True))


class CatalogueSection(Section):
    """The catalogue that is written."""

    path: Location | None = Field(None, description="folder of the catalogue, or s3://…")


class EvaluationSection(Section):
    """The comparison of the catalogue with the labels."""

    path: Path | None = Field(None, description="folder of metrics and figures")


class ExperimentSection(Section):
    """A comparison of predictors on the same stars and folds.

    A case is this job with some options of preprocess, model or training set otherwise.
    """

    path: Path | None = Field(None, description="folder of the experiment")
    title: str = Field("Comparison of predictors", description="title of its report")
    reference: str | None = Field(
        None, description="case that all others are compared with; the first if not given"
    )
    grid: dict[str, Values] = Field(
        {}, description='options and values, as "section.key" = [...]: a case each combination'
    )
    cases: dict[str, dict[str, Any]] = Field(
        {}, description='further cases by name, each as {"section.key" = value, ...}'
    )
    blends: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        {}, description="further predictors by name: the means of what some cases predict"
    )
    choose_from: tuple[str, ...] = Field(
        (),
        description="cases and blends among which the best is chosen within the training folds, "
        "for each fold anew",
    )

    def settings(self) -> dict[str, dict[str, Any]]:
        """Return what each case has otherwise than the job, by its name.

        Raises
        ------
        UserError
            If a case of the grid and another have the same name.
        """
        require_finite("experiment.grid", self.grid)
        combinations = product(*self.grid.values()) if self.grid else ()
        settings = {
            ", ".join(map(str, values)): dict(zip(self.grid, values, strict=True))
            for values in combinations
        }
        for name in settings.keys() & self.cases:
            raise UserError(f"[experiment] has a case '{name}' in its grid, too; rename one.")
        return settings | self.cases


def require_finite(section: str, options: Mapping[str, Sequence[Any]]) -> None:
    """Refuse options whose combinations nobody could try.

    Raises
    ------
    UserError
        If they are more than 10,000.
    """
    number = prod(len(values) for values in options.values())
    if number > MOST_COMBINATIONS:
        raise UserError(
            f"[{section}] has {number:,} combinations of its values, more than the "
            f"{MOST_COMBINATIONS:,} that are allowed; give it fewer options or values."
        )


class SearchSection(Section):
    """A search for the best settings, within the training folds; fold 0 is kept for the end."""

    path: Path | None = Field(None, description="folder of the search")
    method: Literal["grid", "tpe"] = Field(
        "tpe",
        description="grid: every combination of the listed values; tpe: Optuna's sampler, which "
        "learns from the trials before",
    )
    trials: int = Field(40, ge=1, description="most trials; a grid ends when it is done")
    prune: bool = Field(
        True,
        description="whether a trial ends when its first folds are not among the best half "
        "(successive halving)",
    )
    seed: int = Field(0, ge=0, description="seed of the sampler")
    space: dict[str, Values] = Field(
        {}, description='options and the values to try, as "section.key" = [...]'
    )


class ClusterSection(Section):
    """Where the tasks run; an option is for some kinds of cluster, and refused for others."""

    kind: Literal["local", "address", "ssh", "slurm", "kubernetes", "cuda"] = Field(
        "local",
        description="local: processes on this machine; address: a running scheduler; ssh: hosts "
        "reached by SSH; slurm: jobs of a SLURM queue; kubernetes: pods, by the Dask operator; "
        "cuda: a process on each GPU of this machine",
    )
    address: str | None = Field(None, description="the scheduler's address")
    hosts: tuple[str, ...] = Field(
        (),
        description="hosts by name, as in ~/.ssh/config; the scheduler runs on the first, workers "
        "on all",
    )
    python: str | None = Field(
        None, description="the interpreter on the other hosts; the path of this one if not given"
    )
    queue: str | None = Field(
        None, description="queue (partition) of SLURM; that of jobqueue.yaml if not given"
    )
    account: str | None = Field(
        None, description="account of SLURM; that of jobqueue.yaml if not given"
    )
    hours: float | None = Field(
        None,
        gt=0,
        description="hours that a job of SLURM may take; its workers end a little earlier, and "
        "others replace them; the walltime of jobqueue.yaml if not given",
    )
    workers_per_job: int = Field(1, ge=1, description="workers in a job of SLURM")
    manifest: Path | None = Field(
        None, description="file of the DaskCluster, as deploy/kubernetes/cluster.yaml"
    )
    namespace: str | None = Field(
        None, description="namespace of Kubernetes; that of the current context if not given"
    )
    tls: Path | None = Field(
        None,
        description="folder with your certificate (ca.crt, tls.crt, tls.key) for a cluster that "
        "encrypts; that of RRL_BATCH_TLS, or of Dask's configuration, if not given",
    )
    workers: int | None = Field(
        None,
        ge=1,
        description="processes; ssh: on each host; local: one a core if not given; cuda: one a "
        "GPU if not given",
    )
    cpu_workers: int | None = Field(
        None,
        ge=0,
        description="processes beside those on the GPUs; as many as there are cores left if not "
        "given",
    )
    min_workers: int | None = Field(
        None,
        ge=1,
        description="fewest processes of a cluster that grows and shrinks with the work, up to "
        "workers; always as many as workers if not given",
    )
    threads_per_worker: int = Field(
        1, ge=1, description="threads that the kernels of one process may use"
    )
    memory_per_worker: str = Field(
        "auto",
        description="memory of a process, e.g. '4 GiB'; auto shares the machine's, and that of "
        "jobqueue.yaml for slurm",
    )
    host: str | None = Field(
        None,
        description="address on which the scheduler listens for workers; every one of its machine "
        "if not given",
    )
    dashboard_address: str = Field(
        "127.0.0.1:8787",
        description="where the dashboard listens; if the port is taken, at another",
    )
    start_timeout: float = Field(
        10, gt=0, description="minutes that a worker may take to come where there is none"
    )

    @field_validator("dashboard_address")
    @classmethod
    def _host_and_port(cls, address: str) -> str:
        from distributed.comm.addressing import parse_host_port

        try:
            _, port = parse_host_port(address, -1)
        except ValueError:
            port = -1
        if not 0 <= port < 2**16:
            raise ValueError(
                f"cluster.dashboard_address = '{address}' is no address; give host and port, e.g. "
                f"'127.0.0.1:8787', or port 0 for one that is free."
            )
        return address

    @field_validator("memory_per_worker")
    @classmethod
    def _amount_of_memory(cls, memory: str) -> str:
        from dask.utils import parse_bytes

        if memory == "auto":
            return memory
        given = f"cluster.memory_per_worker = '{memory}' is"
        try:
            amount = parse_bytes(memory)
        except ValueError:
            raise ValueError(
                f"{given} no amount of memory; give a number with its unit, e.g. '4 GiB', or "
                f"'auto'."
            ) from None
        if amount < LEAST_MEMORY:
            raise ValueError(
                f"{given} less than a worker takes for itself, about 300 MB, and it would be "
                f"killed whenever it starts; give more, '2 GB' for training networks."
            )
        return memory

    @model_validator(mode="after")
    def _options_of_its_kind(self) -> Self:
        for name in NEEDED_OPTIONS[self.kind]:
            if getattr(self, name) in (None, ()):
                raise ValueError(
                    f"The job's cluster is of kind '{self.kind}' but names no cluster.{name}; "
                    f"add it to the section [cluster] of the job file, or give --set "
                    f"cluster.{name}=…"
                )
        for name in other_options(self.kind):
            if getattr(self, name) != type(self).model_fields[name].default:
                kinds = [kind for kind, options in CLUSTER_OPTIONS.items() if name in options]
                raise ValueError(
                    f"cluster.{name} is for kind {' or '.join(map(repr, kinds))}, and the job's "
                    f"cluster is of kind '{self.kind}'; take it out."
                )
        if self.workers and self.min_workers and self.min_workers > self.workers:
            raise ValueError(
                f"cluster.min_workers = {self.min_workers} is more than cluster.workers = "
                f"{self.workers}; lower it."
            )
        if self.workers and self.workers % self.workers_per_job:
            raise ValueError(
                f"cluster.workers = {self.workers} is no multiple of cluster.workers_per_job = "
                f"{self.workers_per_job}; change one."
            )
        if self.min_workers and self.workers_per_job > 1:
            raise ValueError(
                "A cluster with cluster.min_workers needs cluster.workers_per_job = 1: workers of "
                "one job end together."
            )
        return self


_PROCESSES = ("workers", "threads_per_worker", "memory_per_worker")

CLUSTER_OPTIONS: dict[str, tuple[str, ...]] = {
    "local": (*_PROCESSES, "dashboard_address"),
    "address": ("address", "tls"),
    "ssh": ("hosts", "python", "tls", *_PROCESSES, "host", "dashboard_address"),
    "slurm": (
        "queue", "account", "hours", "workers_per_job", "tls", *_PROCESSES, "min_workers", "host",
        "dashboard_address",
    ),
    "kubernetes": ("manifest", "namespace", "workers", "min_workers"),
    "cuda": (*_PROCESSES, "cpu_workers", "dashboard_address"),
}  # fmt: skip
"""Options of each kind of cluster; those that are not here are for all kinds."""

NEEDED_OPTIONS: dict[str, tuple[str, ...]] = {
    "local": (),
    "address": ("address",),
    "ssh": ("hosts", "workers"),
    "slurm": ("workers",),
    "kubernetes": ("manifest", "workers"),
    "cuda": (),
}
"""Options that a kind of cluster cannot do without."""


def other_options(kind: str) -> set[str]:
    """Return the options that only other kinds of cluster have."""
    return set(chain.from_iterable(CLUSTER_OPTIONS.values())).difference(CLUSTER_OPTIONS[kind])


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
            _put(content, name, value)
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
        if any(point.model.by_mode and len(point.training.modes) > 1 for point in points):
            raise UserError(
                "A search is for the settings of one predictor, and with model.by_mode each of "
                "training.modes has its own; search for each mode in turn."
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


_MOST_DOTS = 1_000
"""In a line of a job file, those of numbers included."""

_OPTIONAL: dict[str, type[Section]] = {
    "simulate": SimulateSection, "experiment": ExperimentSection, "search": SearchSection,
}  # fmt: skip
"""Sections that a job may lack."""


def read_job(path: Path, overrides: Sequence[str] = (), scheduler: str | None = None) -> Job:
    """Read a job file.

    Parameters
    ----------
    path : pathlib.Path
        The TOML file.
    overrides : sequence of str
        Settings ``section.key=value`` that take precedence; the value is TOML, or else a string.
        ``section=false`` takes a section out that a job may lack.
    scheduler : str, optional
        Address of a scheduler, which takes the place of the cluster that the file asks for.

    Returns
    -------
    Job
        The job, all of it checked.

    Raises
    ------
    UserError
        If the file cannot be read, or a section, key or value is not one of a job.
    """
    try:
        text = path.read_text()
        if max(map(str.count, text.splitlines(), repeat(".")), default=0) > _MOST_DOTS:
            raise RecursionError  # tomllib takes hours for keys of many parts
        content = tomllib.loads(text)
    except OSError as error:
        raise UserError(f"The job file {path} cannot be read: {error.strerror}.") from None
    except ValueError as error:  # also numbers that have no end
        raise UserError(f"The job file {path} is not TOML: {error}") from None
    except RecursionError:
        raise UserError(f"The job file {path} is not a job: it nests without end.") from None
    for override in overrides:
        _apply(content, override)
    if scheduler:
        _run_at(content, scheduler)
    return make_job(content, f"{path} with --set" if overrides else str(path))


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


def _apply(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    names = key.strip().split(".")
    if names[0] in _OPTIONAL and len(names) == 1 and text.strip() == "false":
        content.pop(names[0], None)
        return
    if not (equals and len(names) > 1 and all(names)):
        raise UserError(
            f"--set takes section.key=value, e.g. survey.path=work/gaia, not '{override}'."
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a bare word, most often a path
    _put(content, key.strip(), value)
    if names == ["cluster", "kind"] and value in CLUSTER_OPTIONS:
        for other in other_options(value):  # the file's, for the kind that it names
            content["cluster"].pop(other, None)


def _put(content: dict[str, Any], key: str, value: Any) -> None:
    """Give an option, `section.key` or deeper, its value."""
    *sections, name = key.split(".")
    table: Any = content
    for i, section in enumerate(sections, 1):
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            inner = ".".join(sections[:i])
            raise UserError(f"The job has a key '{inner}' where a section [{inner}] belongs.")
    table[name] = value


def _run_at(content: dict[str, Any], scheduler: str) -> None:
    """Put a running scheduler in the place of the cluster that a job asks for."""
    section = content.get("cluster", {})
    if isinstance(section, dict):
        others = other_options("address")
        kept = {name: value for name, value in section.items() if name not in others}
        content["cluster"] = kept | {"kind": "address", "address": scheduler}


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
    section = _OPTIONAL.get(location[0])
    return list((section or type(getattr(Job(), location[0]))).model_fields)
