"""What all pages share: templates with everything escaped, and how numbers are written."""

import base64
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

_DASH = "–"
_MINUS = "−"


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


def percent(value: float | None) -> str:
    """Return a part of 1 as a percentage."""
    return _DASH if value is None else f"{100 * value:.1f} %"


def count(value: float | None) -> str:
    """Return a whole number, with its thousands apart."""
    return _DASH if _unknown(value) else f"{value:,.0f}"


def _unknown(value: float | None) -> bool:
    return value is None or math.isnan(value)
