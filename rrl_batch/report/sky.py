"""Maps of the sky: a value a HEALPix pixel, on Mollweide's projection of Galactic coordinates."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rrl_batch.report.drawing import DARK, GREY
from rrl_batch.report.projection import mollweide, polygons
from rrl_batch.storage.sky import Pixel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STARS_PER_PIXEL = 15
_HIGHEST_ORDER = 6
_DECADE = 10
_SQUARE_DEGREES = 4 * np.pi * (180 / np.pi) ** 2


def square_degrees(order: int) -> float:
    """Return the area of a HEALPix pixel."""
    return float(_SQUARE_DEGREES / (12 * 4**order))


def map_order(n_stars: int) -> int:
    """Return the order of a map whose pixels hold enough stars."""
    per_pixel = max(n_stars, 1) / 12 / _STARS_PER_PIXEL
    return int(np.clip(np.log2(per_pixel) / 2, 1, _HIGHEST_ORDER))


def pixels_of(stars: pd.DataFrame, order: int) -> NDArray[np.int64]:
    """Return the HEALPix pixels (nested) of stars that have a position.

    Parameters
    ----------
    stars : pandas.DataFrame
        With `ra` and `dec`, in degrees.
    order : int
        Order of the pixels.
    """
    from hats.pixel_math import healpix_shim

    pixels: NDArray[np.int64] = healpix_shim.radec2pix(
        order, stars["ra"].to_numpy(), stars["dec"].to_numpy()
    )
    return pixels


def ends_of(values: pd.Series) -> tuple[float, float]:
    """Return the values to which the ends of a scale of colours belong: all but the farthest."""
    if values.empty:
        return 1.0, 2.0
    low, high = (float(values.quantile(q)) for q in (0.01, 0.99))
    return (low, high) if high > low else (low - 0.1 * abs(low), high + 0.1 * abs(high) + 1e-9)


def density_scale(density: pd.Series) -> Any:
    """Return the scale of colours of a density: logarithmic where it spans a factor of ten.

    Of few stars a pixel has one or two, and a logarithmic scale nothing to write beside it.
    """
    from matplotlib.colors import LogNorm, Normalize

    low, high = ends_of(density)
    return LogNorm(low, high) if high >= _DECADE * low else Normalize(0, high)


def draw_map(axes: "Axes", order: int, values: pd.Series, norm: Any, label: str) -> None:
    """Draw a value a pixel on the Galactic map.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    order : int
        Order of the pixels.
    values : pandas.Series
        The values, by the number of the pixel.
    norm : matplotlib.colors.Normalize
        Scale of the colours.
    label : str
        What the values are, with their unit.
    """
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    pixels = tuple(Pixel(order, int(number)) for number in values.index)
    shapes = polygons(pixels)
    cells = PolyCollection(
        [np.column_stack(xy) for xy in zip(shapes.xs, shapes.ys, strict=True)],
        array=values.to_numpy(np.float64)[shapes.pixel],
        cmap="viridis", norm=norm, edgecolors="face", linewidths=0.3,
    )  # fmt: skip
    axes.add_collection(cells)
    _draw_grid(axes)
    figure = axes.get_figure()
    assert figure is not None  # noqa: S101 -- new_figure has made it
    bar = figure.colorbar(cells, ax=axes, label=label, orientation="horizontal", shrink=0.7,
                          pad=0.02, extend="both", aspect=40)  # fmt: skip
    if isinstance(norm, LogNorm):
        bar.ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        bar.ax.xaxis.set_minor_locator(NullLocator())


def _draw_grid(axes: "Axes") -> None:
    """Draw the edge of the map, and lines of Galactic longitude and latitude."""
    up, around = np.linspace(-90, 90, 91), np.linspace(-180, 180, 91)
    for side in (-180.0, 180.0):
        axes.plot(*mollweide(np.full(91, side), up), color=GREY, linewidth=1)
    style: dict[str, Any] = {"color": DARK, "linewidth": 0.4, "alpha": 0.4}
    ground = {"facecolor": "white", "alpha": 0.6, "edgecolor": "none", "pad": 0.8}
    for longitude in range(-120, 180, 60):
        axes.plot(*mollweide(np.full(91, float(longitude)), up), **style)
        x, y = mollweide(np.array(float(longitude)), np.array(0.0))
        axes.text(float(x), float(y), f"{longitude % 360}°", fontsize=7, ha="center", va="center",
                  bbox=ground)  # fmt: skip
    for latitude in range(-60, 90, 30):
        axes.plot(*mollweide(around, np.full(91, float(latitude))), **style)
        x, y = mollweide(np.array(180.0), np.array(float(latitude)))
        if latitude:
            axes.text(float(x) - 0.03, float(y), f"{latitude:+d}°", fontsize=7, ha="right",
                      va="bottom" if latitude > 0 else "top")  # fmt: skip
    axes.set(xlim=(-2.15, 2.05), ylim=(-1.02, 1.02), aspect="equal")
    axes.axis("off")
