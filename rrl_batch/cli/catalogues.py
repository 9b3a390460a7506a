"""The commands about what has been made: compare, report, verify, export."""

import argparse
from pathlib import Path

from rrl_batch.cli.options import (
    Commands,
    add_relations,
    angle,
    column_names,
    identifier,
    location,
    positive,
)
from rrl_batch.errors import UserError

OWN_CLUSTERS = Path("-")
"""Stands for the package's list of clusters."""

_FOR = {
    "labels": ("scale",),
    "reference": ("scale", "columns", "radius", "epoch", "relations"),
    "clusters": ("proper_motions", "relations"),
}
"""What a catalogue is compared with, and the options of each."""


def add_commands(commands: Commands) -> None:
    """Add the commands to the parser."""
    evaluate = commands.add_parser(
        "evaluate", help="compare a catalogue with labels, other measurements, or clusters"
    )
    evaluate.add_argument(
        "--catalogue", type=location, required=True, help="folder of the catalogue"
    )
    others = evaluate.add_mutually_exclusive_group(required=True)
    others.add_argument("--labels", type=Path, help="table of labels")
    others.add_argument(
        "--reference", type=Path, metavar="FILE",
        help="table of other values, e.g. spectroscopic ones, by source_id or by position",
    )  # fmt: skip
    others.add_argument(
        "--clusters", type=Path, nargs="?", const=OWN_CLUSTERS, metavar="FILE",
        help="list of globular clusters; that of the package if no file is given",
    )  # fmt: skip
    evaluate.add_argument("--out", type=Path, required=True, help="folder of metrics and figures")
    evaluate.add_argument(
        "--scale", help="metallicity scale of the table, if it has several or does not say"
    )
    evaluate.add_argument(
        "--column", dest="columns", action="append", default=[], metavar="OURS=THEIRS",
        help="what the reference calls source_id, ra, dec, pmra, pmdec, ref_epoch, feh, feh_error "
        "or scale; repeatable",
    )  # fmt: skip
    evaluate.add_argument(
        "--radius", type=angle, metavar="ARCSEC", help="find the stars of the reference by "
        "position, within a radius; by position is within 1, if the reference has no source_id",
    )  # fmt: skip
    evaluate.add_argument(
        "--epoch", type=float, help="epoch of the catalogue's positions; 2016.0, Gaia DR3's"
    )
    evaluate.add_argument(
        "--proper-motions", type=Path, metavar="FILE", help="table with source_id, pmra, pmdec, "
        "by which members of clusters are chosen",
    )  # fmt: skip
    add_relations(evaluate)
    evaluate.set_defaults(command=_evaluate)

    report = commands.add_parser(
        "report", help="write the page of a catalogue, a survey or an experiment"
    )
    report.add_argument(
        "folder", type=location,
        help="folder of a catalogue or a survey, gets summary/index.html; or of an experiment, "
        "gets index.html",
    )  # fmt: skip
    _add_origin(report)
    report.set_defaults(command=_report)

    star = commands.add_parser("star", help="show a single star of a catalogue")
    star.add_argument("source_id", type=identifier, help="identifier of the star")
    star.add_argument("--catalogue", type=location, required=True, help="folder of the catalogue")
    star.add_argument(
        "--plot", type=location, metavar="FILE", help="figure: NAME.png, .svg or .pdf"
    )
    _add_origin(star)
    star.set_defaults(command=_star)

    verify = commands.add_parser("verify", help="check that a catalogue is whole")
    verify.add_argument("catalogue", type=location, help="folder of the catalogue")
    verify.add_argument(
        "--deep", action="store_true", help="compute random stars again, and compare every bit"
    )
    verify.add_argument(
        "--stars", type=positive, default=100, metavar="N", help="how many stars of --deep; 100"
    )
    verify.add_argument("--seed", type=int, default=0, help="another seed, other stars")
    _add_origin(verify)
    verify.set_defaults(command=_verify)

    export = commands.add_parser("export", help="write a catalogue in the format of other programs")
    export.add_argument("catalogue", type=location, help="folder of the catalogue")
    export.add_argument(
        "target", type=Path,
        help="file NAME.fits, .vot, .csv or .parquet; or a new folder NAME.hats or NAME.cds",
    )  # fmt: skip
    export.add_argument(
        "--distances", metavar="RELATION", help="add distances, by a relation: muraveva2018"
    )
    export.add_argument(
        "--extinction", metavar="SOURCE",
        help="for distances: table with source_id and absorption_g or ebv, HEALPix map of E(B-V) "
        "(.fits), MODULE:FUNCTION of positions (e.g. dustmaps.sfd:SFDQuery), or none",
    )  # fmt: skip
    export.add_argument(
        "--luminosity", type=Path, metavar="FILE", help="relations to get distances by, in place "
        "of those known",
    )  # fmt: skip
    add_relations(export)
    export.set_defaults(command=_export)


def _add_origin(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name what a catalogue was made from."""
    parser.add_argument("--survey", type=location, help="where the survey is now, if it was moved")
    parser.add_argument("--model", type=location, help="where the model is now, if it was moved")


def _evaluate(options: argparse.Namespace) -> None:
    from rrl_batch import run

    against = next(name for name in _FOR if getattr(options, name))
    for name in ("scale", "columns", "radius", "epoch", "proper_motions", "relations"):
        if getattr(options, name) and name not in _FOR[against]:
            option = name.removesuffix("s") if name == "columns" else name.replace("_", "-")
            raise UserError(f"--{option} is not for --{against}.")
    if against == "labels":
        run.evaluate_catalogue(options.catalogue, options.labels, options.scale, options.out, print)
    elif against == "reference":
        chosen = {
            name: value
            for name in ("scale", "radius", "epoch", "relations")
            if (value := getattr(options, name)) is not None
        }
        run.evaluate_with_reference(
            options.catalogue, options.reference, options.out, print,
            columns=column_names(options.columns), **chosen,
        )  # fmt: skip
    else:
        run.evaluate_with_clusters(
            options.catalogue, options.out, print,
            clusters=None if options.clusters == OWN_CLUSTERS else options.clusters,
            motions=options.proper_motions, relations=options.relations,
        )  # fmt: skip


def _report(options: argparse.Namespace) -> None:
    from rrl_batch.run import write_page

    print(f"report     {write_page(options.folder, options.survey, options.model)}")


def _star(options: argparse.Namespace) -> None:
    from rrl_batch.report.star import check_figure, look_at_star

    if options.plot:
        check_figure(options.plot)
    star = look_at_star(options.catalogue, options.source_id, options.survey, options.model)
    print("\n".join(star.lines()))
    if options.plot:
        star.draw(options.plot)
        print(f"figure     {options.plot}")


def _verify(options: argparse.Namespace) -> None:
    from rrl_batch.run import recompute_stars, verify_catalogue

    verify_catalogue(options.catalogue, print)
    if options.deep:
        recompute_stars(
            options.catalogue, options.stars, options.seed, options.survey, options.model, print
        )


def _export(options: argparse.Namespace) -> None:
    from rrl_batch.catalogue.distances import distances_of
    from rrl_batch.catalogue.export import export

    if options.distances and not options.extinction:
        raise UserError(
            "Distances need the extinction towards the stars; name a table, a map or a function by "
            "--extinction, or give '--extinction none' where there is no dust."
        )
    distances = None
    if options.distances:
        distances = distances_of(
            options.catalogue, options.distances, options.extinction, options.luminosity,
            options.relations,
        )  # fmt: skip
        print(f"distances  {options.distances}: {distances.in_words}")
    elif options.extinction or options.luminosity or options.relations:
        raise UserError("--extinction, --luminosity and --relations are for --distances.")
    rows = export(options.catalogue, options.target, distances=distances)
    print(f"export     {options.target}: {rows:,} stars")
