"""Pictures as PNG, drawn by Matplotlib without its global state."""

import io
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.ticker import FuncFormatter

from models.reports.labels import number

DPI = 120

# Okabe and Ito, Color Universal Design, 2008: told apart by people with any colour blindness.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
)
GREY, INK = "#8A8F98", "#20242C"
CYCLE = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY)

_STYLE: Any = {
    "figure.constrained_layout.h_pad": 0.1,  # inches
    "figure.constrained_layout.w_pad": 0.1,
    "font.family": ["DejaVu Sans"],  # comes with Matplotlib
    "font.size": 10.0,
    "axes.titlesize": 12.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.formatter.useoffset": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E6EA",
    "grid.linewidth": 0.8,
    "legend.frameon": True,
    "legend.framealpha": 0.85,
    "legend.edgecolor": "#E3E6EA",
    "legend.fontsize": 9.0,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}

# Matplotlib allows one thread at a time (its user guide: "Matplotlib is not thread-safe"), and
# `rc_context` changes what all threads see.
_DRAWING = threading.Lock()


def render(draw: Callable[[Figure], None], width: float, height: float) -> bytes:
    """A PNG of width × height inches at DPI, filled by `draw`; any thread may call it."""
    with _DRAWING, matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        draw(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def printable(text: str) -> str:
    """`text` as the font can show it: what it lacks becomes a box, and no `$` begins a formula."""
    known = _characters()
    shown = "".join(letter if ord(letter) in known or letter == "\n" else "□" for letter in text)
    return shown.replace("$", r"\$")


def with_unit_below(label: str) -> str:
    """A label whose unit, in brackets, has a line of its own."""
    return printable(label.replace(" (", "\n(", 1))


def plain_log(axes: Axes, which: str) -> None:
    """Make one axis, `x` or `y`, logarithmic with plain numbers beside it."""
    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    low, high = sorted(getattr(axes, f"get_{which}lim")())
    axis.set_major_formatter(FuncFormatter(_plain))
    # Within two decades the powers of ten alone would be too few labels.
    narrow = low > 0 and high / low < 100
    axis.set_minor_formatter(FuncFormatter(_plain_minor if narrow else _nothing))


def say(axes: Axes, title: str, reason: str) -> None:
    """Fill an axes with a sentence in place of a figure."""
    axes.set_axis_off()
    axes.set_title(title)
    axes.text(
        0.5, 0.5, printable(reason), ha="center", va="center", color=GREY, wrap=True, fontsize=11
    )


def _plain(value: float, _place: int | None = None) -> str:
    return number(value)


def _plain_minor(value: float, _place: int | None = None) -> str:
    leading = f"{value:e}"[0]
    return number(value) if leading in "235" else ""


def _nothing(_value: float, _place: int | None = None) -> str:
    return ""


@cache
def _characters() -> frozenset[int]:
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return frozenset(FT2Font(path).get_charmap())
