"""The commands that make a survey: simulate it, or ingest light curves."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rrl_batch.cli.labels import add_labels
from rrl_batch.cli.options import Commands, add_cluster, cluster_of, writing
from rrl_batch.errors import UserError

if TYPE_CHECKING:
    from rrl_batch.storage.manifest import Manifest


def add_commands(commands: Commands) -> None:
    """Add the commands to the parser."""
    simulate = commands.add_parser("simulate", help="simulate a survey and its metallicities")
    simulate.add_argument("out", type=Path, help="folder: gets survey/ and labels.parquet")
    simulate.add_argument("--stars", type=int, required=True, help="number of stars")
    simulate.add_argument("--seed", type=int, default=0, help="the same seed, the same survey")
    add_cluster(simulate)
    simulate.set_defaults(command=_simulate)

    ingest = commands.add_parser("ingest", help="make a survey of epoch photometry, or labels")
    sources = ingest.add_subparsers(required=True, metavar="SOURCE")
    files = sources.add_parser("files", help="local tables: Parquet, CSV, VOTable or ECSV")
    files.add_argument("photometry", type=Path, help="long table of transits, or a folder of them")
    files.add_argument("--stars", type=Path, required=True, help="star table, one row a star")
    files.add_argument("--out", type=Path, required=True, help="folder of the survey")
    add_cluster(files)
    files.set_defaults(command=_ingest_files)

    bulk = sources.add_parser("bulk", help="a mirror of the bulk files of the Gaia archive")
    bulk.add_argument("folder", type=Path, help="folder with EpochPhotometry_*.csv.gz")
    bulk.add_argument("--stars", type=Path, required=True, help="star table, one row a star")
    bulk.add_argument("--out", type=Path, required=True, help="folder of the survey")
    add_cluster(bulk)
    bulk.set_defaults(command=_ingest_bulk)
    add_labels(sources)


def _simulate(options: argparse.Namespace) -> None:
    from rrl_batch import flow
    from rrl_batch.job import make_job

    section = make_job(
        {"simulate": {"stars": options.stars, "seed": options.seed}}, "simulate"
    ).simulate
    assert section is not None  # noqa: S101 -- given in the line above
    survey, labels = options.out / "survey", options.out / "labels.parquet"
    with writing(options, survey, labels), cluster_of(options) as client:
        manifest = flow.simulate(client, section.stars, section.seed, survey, labels)
    print(f"survey     {survey}: {manifest.rows:,} SYNTHETIC stars\nlabels     {labels}")


def _ingest_files(options: argparse.Namespace) -> None:
    from rrl_batch import flow

    for path in (options.photometry, options.stars):
        if not path.exists():
            raise UserError(f"There is no file {path}.")
    with writing(options, options.out), cluster_of(options) as client:
        manifest = flow.ingest_files(client, options.photometry, options.stars, options.out)
    _print_ingested(manifest, options.out)


def _ingest_bulk(options: argparse.Namespace) -> None:
    from rrl_batch import flow
    from rrl_batch.sources.bulk.mirror import files_for
    from rrl_batch.sources.tables import read_stars

    # mistakes in what is given come out before a cluster starts
    files_for(options.folder, read_stars(options.stars)["source_id"].to_numpy())
    with writing(options, options.out), cluster_of(options) as client:
        manifest = flow.ingest_bulk(client, options.folder, options.stars, options.out)
    if unreadable := manifest.provenance["unreadable_stars"]:
        print(
            f"{len(unreadable):,} stars have light curves that cannot be read (the first: "
            f"{unreadable[0]}); they stay in the survey, without epochs."
        )
    _print_ingested(manifest, options.out)


def _print_ingested(manifest: "Manifest", out: Path) -> None:
    from rrl_batch.report.survey_page import write_summary

    transits = manifest.provenance["transits"]
    print(transits["summary"])
    repeated = transits["kept"] - sum(receipt.counts["epochs"] for receipt in manifest.partitions)
    if repeated:
        print(f"{repeated:,} of the transits kept were given more than once, and are there once.")
    print(f"survey     {out}: {manifest.rows:,} stars")
    print(f"summary    {write_summary(out)}")
