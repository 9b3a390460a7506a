"""The commands; each reads its arguments, connects to a cluster and calls the pipeline."""

import argparse
import logging
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rrl_batch import __version__
from rrl_batch.errors import RunError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from distributed import Client

    from rrl_batch.job import ClusterSection, Job
    from rrl_batch.storage.manifest import Manifest
    from rrl_batch.survey.read import Survey


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words of the command line; those of the process if not given.

    Returns
    -------
    int
        0 if all went well, 1 for a failure, 2 for a mistake of the user's.
    """
    options = _parser().parse_args(arguments)
    logging.getLogger("rrl_batch").addHandler(logging.StreamHandler())
    try:
        return int(options.command(options) or 0)
    except UserError as error:
        print(f"rrl-batch: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"rrl-batch: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("rrl-batch: stopped; the same command goes on from here.", file=sys.stderr)
        return 130
    except Exception as error:
        if options.traceback:
            raise
        kind = type(error).__name__
        print(f"rrl-batch: failed ({kind}: {error}); --traceback shows where.", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rrl-batch",
        description="Metallicities of RR Lyrae stars from their light curves, for whole surveys.",
    )
    parser.add_argument("--version", action="version", version=f"rrl-batch {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show where a failure happened")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    simulate = commands.add_parser("simulate", help="simulate a survey and its metallicities")
    simulate.add_argument("out", type=Path, help="folder: gets survey/ and labels.parquet")
    simulate.add_argument("--stars", type=int, required=True, help="number of stars")
    simulate.add_argument("--seed", type=int, default=0, help="the same seed, the same survey")
    _add_cluster(simulate)
    simulate.set_defaults(command=_simulate)

    _add_ingest(commands)
    for name, command, text in (
        ("run", _run, "run a whole job: train, predict, verify, evaluate"),
        ("train", _train, "train the model of a job"),
    ):
        job = commands.add_parser(name, help=text)
        job.add_argument("job", type=Path, help="job file (TOML)")
        job.add_argument(
            "--set", dest="settings", action="append", default=[], metavar="SECTION.KEY=VALUE",
            help="override an option of the job file; may be repeated",
        )  # fmt: skip
        job.add_argument("--scheduler", help="address of a running Dask scheduler")
        _add_certificates(job)
        job.set_defaults(command=command)

    predict = commands.add_parser("predict", help="write the catalogue of a survey")
    predict.add_argument("--model", type=Path, required=True, help="folder of the model")
    predict.add_argument("--survey", type=Path, required=True, help="folder of the survey")
    predict.add_argument("--out", type=Path, required=True, help="folder of the catalogue")
    _add_cluster(predict)
    predict.set_defaults(command=_predict)

    evaluate = commands.add_parser("evaluate", help="compare a catalogue with labels")
    evaluate.add_argument("--catalogue", type=Path, required=True, help="folder of the catalogue")
    evaluate.add_argument("--labels", type=Path, required=True, help="table of labels")
    evaluate.add_argument("--scale", help="metallicity scale, where the labels are on several")
    evaluate.add_argument("--out", type=Path, required=True, help="folder of metrics and figures")
    evaluate.set_defaults(command=_evaluate)

    report = commands.add_parser("report", help="write the page of an experiment")
    report.add_argument("folder", type=Path, help="folder of the experiment; gets index.html")
    report.set_defaults(command=_report)

    verify = commands.add_parser("verify", help="check that a catalogue is whole")
    verify.add_argument("catalogue", type=Path, help="folder of the catalogue")
    verify.set_defaults(command=_verify)

    export = commands.add_parser("export", help="write a catalogue as one file")
    export.add_argument("catalogue", type=Path, help="folder of the catalogue")
    export.add_argument("file", type=Path, help="NAME.fits, .vot, .csv or .parquet")
    export.set_defaults(command=_export)
    return parser


def _add_ingest(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    ingest = commands.add_parser("ingest", help="make a survey of epoch photometry")
    sources = ingest.add_subparsers(required=True, metavar="SOURCE")
    files = sources.add_parser("files", help="local tables: Parquet, CSV, VOTable or ECSV")
    files.add_argument("photometry", type=Path, help="long table of transits, or a folder of them")
    files.add_argument("--stars", type=Path, required=True, help="star table, one row a star")
    files.add_argument("--out", type=Path, required=True, help="folder of the survey")
    _add_cluster(files)
    files.set_defaults(command=_ingest_files)

    bulk = sources.add_parser("bulk", help="a mirror of the bulk files of the Gaia archive")
    bulk.add_argument("folder", type=Path, help="folder with EpochPhotometry_*.csv.gz")
    bulk.add_argument("--stars", type=Path, required=True, help="star table, one row a star")
    bulk.add_argument("--out", type=Path, required=True, help="folder of the survey")
    _add_cluster(bulk)
    bulk.set_defaults(command=_ingest_bulk)


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--scheduler", help="address of a running Dask scheduler")
    where.add_argument(
        "--workers", type=int, help="processes on this machine; one a core if not given"
    )
    _add_certificates(parser)


def _add_certificates(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tls", type=Path, help="folder with your certificate for a scheduler at tls://…"
    )


def _simulate(options: argparse.Namespace) -> None:
    from rrl_batch import flow
    from rrl_batch.job import make_job

    section = make_job(
        {"simulate": {"stars": options.stars, "seed": options.seed}}, "simulate"
    ).simulate
    assert section is not None  # noqa: S101 -- given in the line above
    survey, labels = options.out / "survey", options.out / "labels.parquet"
    with _cluster(options) as client:
        manifest = flow.simulate(client, section.stars, section.seed, survey, labels)
    print(f"survey     {survey}: {manifest.rows:,} SYNTHETIC stars\nlabels     {labels}")


def _ingest_files(options: argparse.Namespace) -> None:
    from rrl_batch import flow

    for path in (options.photometry, options.stars):
        if not path.exists():
            raise UserError(f"There is no file {path}.")
    with _cluster(options) as client:
        manifest = flow.ingest_files(client, options.photometry, options.stars, options.out)
    _print_ingested(manifest, options.out)


def _ingest_bulk(options: argparse.Namespace) -> None:
    from rrl_batch import flow
    from rrl_batch.sources.bulk.mirror import files_for
    from rrl_batch.sources.tables import read_stars

    # mistakes in what is given come out before a cluster starts
    files_for(options.folder, read_stars(options.stars)["source_id"].to_numpy())
    with _cluster(options) as client:
        manifest = flow.ingest_bulk(client, options.folder, options.stars, options.out)
    if unreadable := manifest.provenance["unreadable_stars"]:
        print(
            f"{len(unreadable):,} stars have light curves that cannot be read (the first: "
            f"{unreadable[0]}); they stay in the survey, without epochs."
        )
    _print_ingested(manifest, options.out)


def _print_ingested(manifest: "Manifest", out: Path) -> None:
    transits = manifest.provenance["transits"]
    print(transits["summary"])
    repeated = transits["kept"] - sum(receipt.counts["epochs"] for receipt in manifest.partitions)
    if repeated:
        print(f"{repeated:,} of the transits kept were given more than once, and are there once.")
    print(f"survey     {out}: {manifest.rows:,} stars")


def _run(options: argparse.Namespace) -> int:
    from rrl_batch.survey.read import open_survey

    job = _read_job(options, "survey", "labels")
    if job.experiment or job.search:
        return _experiment(job)
    job.require("model", "catalogue", "evaluation")
    paths = job.paths()
    with _connect(job.cluster) as client:
        _simulate_if_asked(client, job)
        _train_model(client, job)
        survey = open_survey(paths["survey"])
        _write_catalogue(client, survey, paths["model"], paths["catalogue"])
    faults = _print_verification(paths["catalogue"])
    _print_evaluation(paths["catalogue"], paths["labels"], job.labels.scale, paths["evaluation"])
    return faults


def _experiment(job: "Job") -> int:
    from rrl_batch import experiments
    from rrl_batch.models.registry import check, check_dropout
    from rrl_batch.survey.read import open_survey

    kind = "experiment" if job.experiment else "search"
    job.require(kind)
    for case in job.cases().values() if job.experiment else job.search_points():
        for architecture in case.model.architecture:
            check(architecture)
            check_dropout(architecture, case.model.dropout)
    paths = job.paths()
    with _connect(job.cluster) as client:
        _simulate_if_asked(client, job)
        survey = open_survey(paths["survey"])
        run = experiments.compare if job.experiment else experiments.search
        found = run(client, survey, _read_labels(job), paths[kind], job)
    print(f"{kind:<10} {found}")
    return 0


def _simulate_if_asked(client: "Client", job: "Job") -> None:
    from rrl_batch import flow

    if job.simulate:
        paths = job.paths()
        flow.simulate(
            client, job.simulate.stars, job.simulate.seed, paths["survey"], paths["labels"]
        )


def _train(options: argparse.Namespace) -> None:
    job = _read_job(options, "survey", "labels", "model")
    with _connect(job.cluster) as client:
        _train_model(client, job)


def _predict(options: argparse.Namespace) -> None:
    from rrl_batch.models.folder import ModelCard
    from rrl_batch.survey.read import open_survey

    # mistakes in what is given come out before a cluster starts
    survey, _ = open_survey(options.survey), ModelCard.read(options.model)
    with _cluster(options) as client:
        _write_catalogue(client, survey, options.model, options.out)


def _evaluate(options: argparse.Namespace) -> None:
    _print_evaluation(options.catalogue, options.labels, options.scale, options.out)


def _report(options: argparse.Namespace) -> None:
    from rrl_batch.report.experiment_page import write_report

    print(f"report     {write_report(options.folder)}")


def _verify(options: argparse.Namespace) -> int:
    return _print_verification(options.catalogue)


def _export(options: argparse.Namespace) -> None:
    from rrl_batch.catalogue.export import export

    rows = export(options.catalogue, options.file)
    print(f"export     {options.file}: {rows:,} stars")


def _read_job(options: argparse.Namespace, *needed: str) -> "Job":
    """Read the job file of a command and check that the paths it needs are named."""
    from rrl_batch.job import read_job
    from rrl_batch.models.registry import check_model

    settings = list(options.settings)
    if options.scheduler:
        settings += ["cluster.kind=address", f"cluster.address={options.scheduler}"]
    if options.tls:
        settings.append(f"cluster.tls={options.tls}")
    job = read_job(options.job, settings)
    job.require(*needed)
    for architecture in job.model.architecture:
        check_model(architecture)
    return job


@contextmanager
def _cluster(options: argparse.Namespace) -> "Iterator[Client]":
    """Yield a client of the cluster that a command without a job file runs on."""
    from rrl_batch.job import make_job

    section: dict[str, Any] = {"workers": options.workers}
    if options.scheduler:
        section = {"kind": "address", "address": options.scheduler}
    section["tls"] = options.tls
    with _connect(make_job({"cluster": section}, "command line").cluster) as client:
        yield client


@contextmanager
def _connect(section: "ClusterSection") -> "Iterator[Client]":
    from rrl_batch.cluster.connect import connect

    with connect(section) as client:
        print(f"dashboard  {client.dashboard_link}", flush=True)
        yield client


def _train_model(client: "Client", job: "Job") -> None:
    from rrl_batch import flow
    from rrl_batch.survey.read import open_survey

    paths = job.paths()
    survey, labels = open_survey(paths["survey"]), _read_labels(job)
    card = flow.train(client, survey, labels, paths["model"], job)
    network, baseline = card.metrics["network"], card.metrics["baseline"]
    print(
        f"model      {paths['model']}: {len(card.members)} x {' + '.join(card.architecture)} on "
        f"{network['n']:,} stars; out of fold RMSE {network['rmse']:.3f} dex, R2 "
        f"{network['r2']:.3f} (baseline {baseline['rmse']:.3f}, {baseline['r2']:.3f})"
    )


def _read_labels(job: "Job") -> "pd.DataFrame":
    from rrl_batch.sources.tables import read_labels

    about = job.labels
    return read_labels(job.paths()["labels"], about.scale, fold=about.fold, rival=about.rival)


def _write_catalogue(client: "Client", survey: "Survey", model: Path, out: Path) -> None:
    from rrl_batch import flow

    manifest = flow.predict(client, survey, model, out)
    predicted = sum(receipt.counts["predicted"] for receipt in manifest.partitions)
    print(f"catalogue  {out}: {manifest.rows:,} stars, {predicted:,} with a metallicity")


def _print_verification(catalogue: Path) -> int:
    from rrl_batch.catalogue.verify import verify

    found = verify(catalogue)
    for fault in found.faults:
        print(f"verify     {fault}")
    if found.faults:
        remedy = "delete manifest.json and the files named, and give the same command again"
        print(f"verify     {catalogue}: not as it was written; {remedy}", file=sys.stderr)
        return 1
    print(
        f"verify     {catalogue}: {found.rows:,} rows in {found.partitions} files, all as written"
    )
    return 0


def _print_evaluation(catalogue: Path, labels: Path, scale: str | None, out: Path) -> None:
    from rrl_batch.report.evaluate import evaluate

    metrics = evaluate(catalogue, labels, scale, out)
    for name in ("network", "baseline"):
        scores = metrics[name]
        figures = ", ".join(
            f"{label} {scores[key]:.3f}"
            for key, label in (("rmse", "RMSE"), ("mae", "MAE"), ("r2", "R2"))
            if scores[key] is not None
        )
        print(f"evaluation {name:<8} on {scores['n']:,} stars: {figures}")
    print(f"evaluation {out / 'index.html'}")
