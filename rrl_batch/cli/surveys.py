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

    gaia = sources.add_parser("gaia", help="the Gaia archive itself: TAP and DataLink")
    gaia.add_argument("--out", type=Path, required=True, help="folder of the survey")
    gaia.add_argument(
        "--where", metavar="ADQL",
        help="condition on the archive's columns, e.g. \"best_classification = 'RRab'\"",
    )  # fmt: skip
    gaia.add_argument("--limit", type=int, metavar="N", help="so many stars, all over the sky")
    gaia.add_argument(
        "--release", default="gaia_dr3",
        help="data release: a name or a file of table and column names; gaia_dr3 if not given",
    )  # fmt: skip
    gaia.add_argument("--archive", metavar="URL", help="another server that has the release")
    gaia.add_argument(
        "--credentials", type=Path, metavar="FILE",
        help="two lines, user and password; anonymous if neither given nor in the environment",
    )  # fmt: skip
    gaia.add_argument(
        "--stars-only", action="store_true",
        help="only the table of stars, OUT/stars.parquet; without, the same command goes on",
    )  # fmt: skip
    add_cluster(gaia)
    gaia.set_defaults(command=_ingest_gaia)


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
    _print_unreadable(manifest)
    _print_ingested(manifest, options.out)


def _ingest_gaia(options: argparse.Namespace) -> None:
    from rrl_batch import flow
    from rrl_batch.sources.archive.login import Login
    from rrl_batch.sources.archive.release import Release, StarChoice
    from rrl_batch.sources.archive.stars import STARS

    # mistakes in what is given come out before a cluster starts
    release = Release.read(options.release, options.archive)
    choice = StarChoice(options.where, options.limit)
    login = Login.find(options.credentials)
    with writing(options, options.out), cluster_of(options) as client:
        if options.stars_only:
            number = flow.query_gaia(client, options.out, release, choice, login)
            print(f"stars      {options.out / STARS}: {number:,} stars")
            return
        manifest = flow.ingest_gaia(client, options.out, release, choice, login)
    for reason, stars in manifest.provenance["absent_stars"].items():
        print(
            f"without a light curve: {len(stars):,} (the first: {stars[0]}): {reason}; they stay "
            f"in the survey, without epochs."
        )
    _print_unreadable(manifest)
    _print_ingested(manifest, options.out)


def _print_unreadable(manifest: "Manifest") -> None:
    if unreadable := manifest.provenance["unreadable_stars"]:
        print(
            f"with a light curve that cannot be read: {len(unreadable):,} (the first: "
            f"{unreadable[0]}); they stay in the survey, without epochs."
        )


def _print_ingested(manifest: "Manifest", out: Path) -> None:
    from rrl_batch.report.survey_page import write_summary

    transits = manifest.provenance["transits"]
    print(transits["summary"])
    repeated = transits["kept"] - sum(receipt.counts["epochs"] for receipt in manifest.partitions)
    if repeated:
        print(f"{repeated:,} of the transits kept were given more than once, and are there once.")
    print(f"survey     {out}: {manifest.rows:,} stars")
    print(f"summary    {write_summary(out)}")
