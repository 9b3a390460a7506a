"""What all pages share: templates with everything escaped, and how numbers are written."""

import base64
import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from jinja2 import Environment

_DASH = "–"
_MINUS = "−"
_TABLES = ("out_of_fold", "baseline_out_of_fold", "stars")
"""Of a model, in the provenance of a catalogue: what the page of the catalogue has as tables."""


class Table(NamedTuple):
    """A table as the page shows it; the first cell of a row is its header.

    Parameters
    ----------
    id : str
        Name of its place on the page.
    title, note : str
        Heading, and what a reader must know.
    columns : list of str
        Headers of the columns.
    rows : list of list of str
        Cells.
    meanings : mapping of str to str
        What a row's first cell means, where that is not plain.
    """

    id: str
    title: str
    note: str
    columns: list[str]
    rows: list[list[str]]
    meanings: Mapping[str, str] = MappingProxyType({})


def environment() -> "Environment":
    """Return the templates' environment; what comes from a file is escaped in all of them."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=PackageLoader("rrl_batch.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "dex": dex, "edge": edge, "signed": signed, "percent": percent, "count": count,
    }  # fmt: skip
    return found


def picture(png: bytes, alt: str, caption: str) -> dict[str, str]:
    """Return a figure as the templates embed it."""
    return {"png": base64.b64encode(png).decode("ascii"), "alt": alt, "caption": caption}


def dex(value: float | None) -> str:
    """Return a value with three decimals."""
    return _DASH if _unknown(value) else f"{value:.3f}".replace("-", _MINUS)


def edge(value: float) -> str:
    """Return the edge of a bin of [Fe/H]."""
    return f"{value:.1f}".replace("-", _MINUS)


def signed(value: float | None) -> str:
    """Return a difference, with its sign."""
    return _DASH if _unknown(value) else f"{value:+.3f}".replace("-", _MINUS)


def feh(value: float | None) -> str:
    """Return a metallicity, with two decimals."""
    return _DASH if _unknown(value) else f"{value:.2f}".replace("-", _MINUS)


def percent(value: float | None) -> str:
    """Return a part of 1 as a percentage."""
    return _DASH if value is None else f"{100 * value:.1f} %"


def count(value: float | None) -> str:
    """Return a whole number, with its thousands apart."""
    return _DASH if _unknown(value) else f"{value:,.0f}"


def text(value: Any) -> str:
    """Return a value as text; what is none as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def provenance_of(about: Mapping[str, Any]) -> dict[str, str]:
    """Return where something comes from, by dotted key; not what is in tables of other pages."""
    model = {key: value for key, value in about["model"].items() if key not in _TABLES}
    return flatten({key: value for key, value in about.items() if key != "model"}) | flatten(
        model, "model"
    )


def short_name(folder: Path) -> str:
    """Return the last two parts of a folder's path: its own name is often what it holds."""
    return "/".join(folder.resolve().parts[-2:]).replace("//", "/")


def flatten(value: Any, prefix: str = "") -> dict[str, str]:
    """Return nested values by dotted key, as text."""
    if not isinstance(value, dict):
        return {prefix: text(value)}
    parts = [flatten(v, f"{prefix}.{k}" if prefix else str(k)) for k, v in value.items()]
    return {key: shown for part in parts for key, shown in part.items()}


def _unknown(value: float | None) -> bool:
    return value is None or math.isnan(value)
