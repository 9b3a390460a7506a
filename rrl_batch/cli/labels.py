"""The command that makes a table of labels."""

import argparse
from pathlib import Path

from rrl_batch.cli.options import Commands, add_relations, column_names
from rrl_batch.errors import UserError


def add_labels(sources: Commands) -> None:
    """Add the command to the parser of `ingest`."""
    labels = sources.add_parser("labels", help="metallicities: a published table, or a local one")
    labels.add_argument(
        "source",
        help="Parquet, CSV, VOTable or ECSV file; or a published table, fetched from VizieR: "
        "muraveva2024, monti2025, dekany2022, crestani2021",
    )
    labels.add_argument("--out", type=Path, required=True, help="table of labels: NAME.parquet")
    labels.add_argument(
        "--scale", help="metallicity scale of the labels of a file, or the one of several to take"
    )
    labels.add_argument(
        "--column", dest="columns", action="append", default=[], metavar="OURS=THEIRS",
        help="what the table calls source_id, feh, feh_error, scale, fold or rival; repeatable",
    )  # fmt: skip
    labels.add_argument(
        "--published", type=Path, help="file of published tables, in place of those known"
    )
    labels.add_argument(
        "--to", metavar="SCALE",
        help="bring labels on other scales to this one, where a relation is known; the others "
        "stay apart",
    )  # fmt: skip
    add_relations(labels)
    labels.set_defaults(command=_ingest_labels)


def _ingest_labels(options: argparse.Namespace) -> None:
    from rrl_batch.contracts.scales import Scales
    from rrl_batch.sources.calibrate import on_scale
    from rrl_batch.sources.labels import from_file, from_vizier
    from rrl_batch.sources.vizier.published import Published

    if options.out.suffix != ".parquet":
        raise UserError(
            f"Labels are written as Parquet; name --out NAME.parquet, not {options.out}."
        )
    columns = column_names(options.columns)
    path = Path(options.source)
    if path.suffix or path.exists():
        made = from_file(path, options.scale, columns)
    elif options.scale:
        raise UserError("--scale is for files; the scale of a published table is known with it.")
    else:
        made = from_vizier(options.source, Published.read(options.published), columns)
        print(f"from {made.made_from['table']}: {made.made_from['reference']}")
        print(
            f"Its identifiers are said to be those of {made.made_from['release']}; a survey of "
            f"another release has others for some of the same stars."
        )
    if options.to:
        made = on_scale(made, options.to, Scales.read(options.relations))
        for relation in made.made_from["calibrated"]:
            print(
                f"calibrated {relation['stars']:,} labels from '{relation['from']}' to "
                f"'{relation['to']}', {relation['kept_apart']:,} kept apart: "
                f"{relation['reference']}"
            )
    elif options.relations:
        raise UserError("--relations says how to calibrate; name the scale to end on by --to.")
    made.write(options.out)
    print(f"labels     {options.out}: {made.summary}")
