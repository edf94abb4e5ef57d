"""Drawing that all figures share: colours, PNG by Matplotlib, texts, and axes for scores."""

import io
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.ticker import FuncFormatter

from models.reports.figures.labels import number
from models.reports.job_report import JobReport
from models.trials.spec import Objective

DPI = 120
_DECADES_FOR_LOG = 1.5
_FENCE = 3.0  # interquartile ranges: Tukey, Exploratory Data Analysis, 1977, "far out"

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


@dataclass(frozen=True, slots=True)
class FigureKind:
    """One of the figures that a report can have."""

    title: str
    draw: Callable[[Axes, JobReport], str | None]  # returns a detail for the title
    missing: Callable[[JobReport], str | None]  # why it cannot be drawn
    height: float  # inches

    def fill(self, axes: Axes, report: JobReport) -> None:
        """Draw the figure with its title; it must not be missing."""
        detail = self.draw(axes, report)
        axes.set_title(f"{self.title} ({detail})" if detail else self.title)


@dataclass(frozen=True, slots=True)
class ScoreRange:
    """The scores that an axis shows; those of trials that nearly diverged lie beyond."""

    low: float
    high: float
    is_log: bool

    @property
    def limits(self) -> tuple[float, float]:
        """The range with a margin on both sides, also if all scores are equal."""
        if self.is_log:
            factor = (self.high / self.low) ** 0.06
            return self.low / factor, self.high * factor
        margin = 0.06 * (self.high - self.low) or 0.05 * abs(self.high) or 0.5
        return self.low - margin, self.high + margin

    def clip(self, score: float) -> float:
        """Return the score, or the end of the range that it lies beyond."""
        return min(max(score, self.low), self.high)

    def apply(self, axes: Axes, which: str = "y") -> None:
        """Give the range to one axis, `x` or `y`."""
        getattr(axes, f"set_{which}lim")(*self.limits)
        if self.is_log:
            plain_log(axes, which)


def render(draw: Callable[[Figure], None], width: float, height: float) -> bytes:
    """Return a PNG of width × height inches at DPI, filled by `draw`; thread-safe."""
    with _DRAWING, matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        draw(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def score_range(scores: Sequence[float], objective: Objective | None = None) -> ScoreRange:
    """Return the range from the best of `scores`, at least one, to the worst that is not far out.

    Without an objective it is the range of all scores. Positive scores that spread over more than
    1.5 decades get a logarithmic axis.
    """
    values = np.array(scores, dtype=np.float64)
    is_log = bool(values.min() > 0) and _decades(values) > _DECADES_FOR_LOG
    if objective is not None:
        losses = np.array([objective.loss(x) for x in (np.log10(values) if is_log else values)])
        first, third = np.percentile(losses, [25, 75])
        if third > first:
            values = values[losses <= third + _FENCE * (third - first)]
    is_log = is_log and _decades(values) > _DECADES_FOR_LOG
    return ScoreRange(float(values.min()), float(values.max()), is_log)


def printable(text: str) -> str:
    """Return `text` as the font can show it: other characters become boxes, `$` is escaped."""
    known = _characters()
    shown = "".join(letter if ord(letter) in known or letter == "\n" else "□" for letter in text)
    return shown.replace("$", r"\$")


def with_unit_below(label: str) -> str:
    """Return a printable label whose unit, in brackets, has a line of its own."""
    return printable(label.replace(" (", "\n(", 1))


def plain_log(axes: Axes, which: str) -> None:
    """Make one axis, `x` or `y`, logarithmic and label it with plain numbers."""
    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    low, high = sorted(getattr(axes, f"get_{which}lim")())
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    # Within two decades the powers of ten alone would be too few labels.
    leading = "235" if low > 0 and high / low < 100 else ""
    axis.set_minor_formatter(
        FuncFormatter(lambda value, _: number(value) if f"{value:e}"[0] in leading else "")
    )


def explain(axes: Axes, title: str, reason: str) -> None:
    """Fill an axes with a sentence in place of a figure."""
    axes.set_axis_off()
    axes.set_title(title)
    axes.text(
        0.5, 0.5, printable(reason), ha="center", va="center", color=GREY, wrap=True, fontsize=11
    )


def _decades(values: Any) -> float:
    return float(np.log10(values.max() / values.min()))


@cache
def _characters() -> frozenset[int]:
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return frozenset(FT2Font(path).get_charmap())
