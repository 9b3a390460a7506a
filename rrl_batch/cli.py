"""The commands; each reads its arguments, connects to a cluster and calls the pipeline."""

import argparse
import logging
import shlex
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rrl_batch import __version__
from rrl_batch.errors import RunError, UserError
from rrl_batch.job_commands import (
    add_certificates,
    add_job_commands,
    add_job_file,
    add_jobs_folder,
    make_folder,
    read_job_file,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client

    from rrl_batch.job import ClusterSection
    from rrl_batch.storage.manifest import Manifest


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
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(words)
    options.line = shlex.join(["rrl-batch", *words])
    warnings = logging.StreamHandler()
    warnings.setLevel(logging.WARNING)
    logging.getLogger("rrl_batch").addHandler(warnings)
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
    run = commands.add_parser("run", help="run a whole job: train, predict, verify, evaluate")
    add_job_file(run)
    add_jobs_folder(run)
    run.set_defaults(command=_run)
    train = commands.add_parser("train", help="train the model of a job")
    add_job_file(train)
    train.set_defaults(command=_train)
    doctor = commands.add_parser(
        "doctor", help="check this machine, and a job's files and cluster, before it runs"
    )
    add_job_file(doctor, nargs="?")
    doctor.set_defaults(command=_doctor, workers=None)

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

    add_job_commands(commands)
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
    add_certificates(parser)


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


def _run(options: argparse.Namespace) -> None:
    from rrl_batch.driver import drive
    from rrl_batch.run import check_inputs, check_job

    job = read_job_file(options)
    check_job(job)
    check_inputs(job)
    folder = make_folder(options, job)
    print(f"job        {folder.id}, in {folder.path}", flush=True)
    drive(folder, job, options.line, print)


def _train(options: argparse.Namespace) -> None:
    from rrl_batch.run import check_architectures, check_inputs, train_model
    from rrl_batch.survey.read import open_survey

    job = read_job_file(options)
    job.require("survey", "labels", "model")
    check_architectures(job)
    check_inputs(job)
    with _connect(job.cluster) as client:
        train_model(client, open_survey(job.paths()["survey"]), job, print)


def _predict(options: argparse.Namespace) -> None:
    from rrl_batch.models.folder import read_whole
    from rrl_batch.run import write_catalogue
    from rrl_batch.survey.read import open_survey

    # mistakes in what is given come out before a cluster starts
    survey, _ = open_survey(options.survey), read_whole(options.model)
    with _cluster(options) as client:
        write_catalogue(client, survey, options.model, options.out, print)


def _evaluate(options: argparse.Namespace) -> None:
    from rrl_batch.run import evaluate_catalogue

    evaluate_catalogue(options.catalogue, options.labels, options.scale, options.out, print)


def _report(options: argparse.Namespace) -> None:
    from rrl_batch.report.experiment_page import write_report

    print(f"report     {write_report(options.folder)}")


def _verify(options: argparse.Namespace) -> None:
    from rrl_batch.run import verify_catalogue

    verify_catalogue(options.catalogue, print)


def _doctor(options: argparse.Namespace) -> int:
    from rrl_batch.doctor.examine import examine
    from rrl_batch.doctor.finding import summary
    from rrl_batch.doctor.subject import Subject

    if options.job:
        job = read_job_file(options)
        subject = Subject(job.cluster, job)
    elif options.settings:
        raise UserError("--set changes a job; name its file, too: rrl-batch doctor JOB.toml.")
    else:
        subject = Subject(_section(options))
    findings = []
    for name, finding in examine(subject, with_cluster=bool(options.job or options.scheduler)):
        print(finding.lines(name), flush=True)
        findings.append(finding)
    print(summary(findings))
    return int(any(finding.state == "fails" for finding in findings))


def _export(options: argparse.Namespace) -> None:
    from rrl_batch.catalogue.export import export

    rows = export(options.catalogue, options.file)
    print(f"export     {options.file}: {rows:,} stars")


@contextmanager
def _cluster(options: argparse.Namespace) -> "Iterator[Client]":
    """Yield a client of the cluster that a command without a job file runs on."""
    with _connect(_section(options)) as client:
        yield client


def _section(options: argparse.Namespace) -> "ClusterSection":
    """Return the cluster that a command without a job file runs on."""
    from rrl_batch.job import make_job

    section: dict[str, Any] = {"workers": options.workers}
    if options.scheduler:
        section = {"kind": "address", "address": options.scheduler}
    section["tls"] = options.tls
    return make_job({"cluster": section}, "command line").cluster


@contextmanager
def _connect(section: "ClusterSection") -> "Iterator[Client]":
    from rrl_batch.cluster.connect import connect

    with connect(section) as client:
        print(f"dashboard  {client.dashboard_link}", flush=True)
        yield client
