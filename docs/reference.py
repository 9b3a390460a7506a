"""Write the reference pages from the code that they describe: `python docs/reference.py`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rrl_batch.contracts import CATALOGUE, LABELS, SURVEY, Contract, Flag
from rrl_batch.contracts.flags import DESCRIPTIONS
from rrl_batch.contracts.training import LABELLED_STARS
from rrl_batch.job import CLUSTER_OPTIONS, NEEDED_OPTIONS, ClusterSection, Job, TrainingSection

NOTE = "<!-- Written by docs/reference.py; edit the code that it describes instead. -->"


def columns(contract: Contract, *, optional: bool = True) -> Iterator[str]:
    yield "| column | type | unit | UCD | meaning |"
    yield "|---|---|---|---|---|"
    for c in contract.columns:
        name = f"`{c.name}`" + (" (optional)" if optional and not c.required else "")
        yield f"| {name} | {c.type} | {c.unit or ''} | {c.ucd} | {c.description} |"


def options(section: Any) -> Iterator[str]:
    of_kinds = section is ClusterSection
    yield "| key | default | meaning |" + (" kinds |" if of_kinds else "")
    yield "|---|---|---|" + ("---|" if of_kinds else "")
    for name, field in section.model_fields.items():
        default = "needed" if field.is_required() else field.default
        if isinstance(default, tuple):
            default = json.dumps(default)  # which is TOML, too
        shown = "" if default is None else f"`{default}`" if default != "needed" else default
        row = f"| `{name}` | {shown} | {field.description} |"
        yield row + (f" {kinds(name)} |" if of_kinds else "")


def selection() -> Iterator[str]:
    yield "### training.select\n"
    yield (
        "Comparisons (`<`, `<=`, `>`, `>=`, `==`, `!=`, `in`, also in chains), `+`, `-`, `*`, `/`, `and`, "
        "`or` and `not` of numbers, texts in quotes and the columns below. A comparison with an unknown value "
        "is false: stars whose label has no error do not pass `feh_error <= 0.4`, but pass `not feh_error > "
        "0.4`. Stars need a curve with φ31, and a pulsation mode among `modes`, whatever the condition; an "
        "empty one takes all of these. What is joined by `and` is counted part by part: `train` prints how "
        "many stars each has removed, in order and alone, and the model's card (`stars` in `model.json`) and "
        "the pages of evaluations and experiments have the same table. Parts that name no label also decide "
        "which stars of the catalogue get OUTSIDE_SELECTION.\n"
    )
    yield from columns(LABELLED_STARS, optional=False)
    yield ""


def kinds(option: str) -> str:
    """Return the kinds of cluster that have an option, those in bold that need it."""
    found = [
        f"**{kind}**" if option in NEEDED_OPTIONS[kind] else kind
        for kind, names in CLUSTER_OPTIONS.items()
        if option in names
    ]
    return ", ".join(found) or "all"


def job_file() -> Iterator[str]:
    yield "# The job file\n"
    yield NOTE + "\n"
    yield (
        "A job file is TOML with the sections below; every key has a default, or is a path that only "
        "some commands need. `--set section.key=value` on the command line takes precedence, and may "
        "be repeated; `--set simulate=false` takes that section out. An unknown key is refused, with the nearest known one. Paths are relative to the "
        "working directory.\n"
    )
    for name, field in Job.model_fields.items():
        section: Any = field.annotation
        if not hasattr(section, "model_fields"):  # a section that may be absent
            section = section.__args__[0]
        yield f"## [{name}]\n"
        yield f"{section.__doc__.strip()}\n"
        yield from options(section)
        yield ""
        if section is TrainingSection:
            yield from selection()
    yield (
        "A kind of cluster in bold needs the option. `--set cluster.kind=…` on the command line, and "
        "`--scheduler`, drop those options of the file that the other kind does not have. What the "
        "kinds are, and how they are set up: [operating a cluster](operating.md).\n"
    )


def flags() -> Iterator[str]:
    yield "| bit | value | name | meaning |"
    yield "|---|---|---|---|"
    for flag in Flag:
        yield f"| {flag.bit_length() - 1} | {flag.value} | {flag.name} | {DESCRIPTIONS[flag]} |"


def catalogue() -> Iterator[str]:
    """Yield the page of the catalogue, whose words are its own, with its tables written anew."""
    text = (DOCS / "catalogue.md").read_text()
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}: written by docs/reference.py -->\n\n", "\n\n<!-- end -->"
        before, _, rest = text.partition(begin)
        text = before + begin + "\n".join(table) + end + rest.partition(end)[2]
    yield text


DOCS = Path(__file__).parent

TABLES = {
    "columns": list(columns(CATALOGUE)),
    "flags": list(flags()),
    "columns of a survey": list(columns(SURVEY)),
    "columns of labels": list(columns(LABELS)),
}
PAGES = {"job_file.md": job_file, "catalogue.md": catalogue}


def page(name: str) -> str:
    return "\n".join(PAGES[name]()).rstrip() + "\n"


if __name__ == "__main__":
    for file_name in PAGES:
        (DOCS / file_name).write_text(page(file_name))
