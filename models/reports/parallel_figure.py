"""Parallel coordinates: every trial a line through its values, coloured by its score."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, Normalize

from models.jobs.model import Outcome
from models.reports.canvas import GREY, INK, plain_log, printable, with_unit_below
from models.reports.labels import better_is, number, score_label, shortened
from models.reports.report import JobReport, Missing
from models.reports.score_range import ScoreRange, score_range
from models.reports.varying import Column, varying_columns
from models.space.hyperparameters import Value
from models.trials.objective import Objective

Array = np.ndarray[Any, Any]

MOST_LINES = 500
MOST_COLUMNS = 12
_MISSING = -0.09  # height of a value that had no effect; the others lie between 0 and 1
_LOG_RATIO = 30.0
_MANY = 20  # trials
_FAN = 0.025
_TICKS = 6  # of a column, beyond which only its ends and its middle are named

PARALLEL = "Every trial's values"


def draw_parallel_coordinates(axes: Axes, report: JobReport) -> None:
    """The best trials lie on top and are darkest; more than 500 lines are thinned out by rank.

    The trials that have a score must differ in their values.
    """
    scored = report.scored
    columns = varying_columns(scored)
    objective = report.job.spec.objective
    span = score_range([item.score or 0.0 for item in scored], objective)
    shown = _chosen(columns, report)
    order = _best_last(scored, objective)
    heights = np.column_stack([_heights(column, order) for column in shown])
    scores = np.array([span.clip(scored[place].score or 0.0) for place in order])
    lines = _lines(heights, scores, span, objective)
    axes.add_collection(lines)
    axes.set_xlim(-0.15, len(shown) - 0.65)
    axes.set_ylim(-0.16, 1.06)
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    names = [printable(shortened(column.name, 20)) for column in shown]
    slanted = len(names) > 8
    axes.set_xticks(
        range(len(names)),
        names,
        rotation=25 if slanted else 0,
        ha="right" if slanted else "center",
        fontweight="bold",
    )
    axes.tick_params(axis="x", length=0)
    for place, column in enumerate(shown):
        _draw_axis(axes, place, column)
    _colorbar(axes, lines, report)
    axes.set_title(_title(len(shown), len(columns), len(order), len(scored)))


def _chosen(columns: list[Column], report: JobReport) -> list[Column]:
    """As many as there is room for: the most important ones, in the order of the values."""
    if len(columns) <= MOST_COLUMNS:
        return columns
    ranked = [column.hyperparameter for column in columns]
    if not isinstance(report.importance, Missing):
        ranked = [item.hyperparameter for item in report.importance.items]
    places = {name: place for place, name in reversed(list(enumerate(ranked)))}
    first = sorted(columns, key=lambda column: places.get(column.hyperparameter, len(ranked)))
    kept = {column.name for column in first[:MOST_COLUMNS]}
    return [column for column in columns if column.name in kept]


def _best_last(scored: Sequence[Outcome], objective: Objective) -> list[int]:
    order = sorted(range(len(scored)), key=lambda place: -objective.loss(scored[place].score))
    places = np.linspace(0, len(order) - 1, min(len(order), MOST_LINES)).astype(np.int64)
    return [order[place] for place in places]


def _heights(column: Column, order: list[int]) -> Array:
    """Where the lines of the trials in this order cross a column, worst trial first."""
    values = [column.values[place] for place in order]
    heights = np.array([_MISSING if v is None else _height(column, v) for v in values])
    if len(order) > _MANY and (len(column.distinct) <= _TICKS or not column.numbers):
        # Lines that would meet in one point fan out, the better ones above.
        heights += np.linspace(-_FAN, _FAN, len(order))
    return heights


def _height(column: Column, value: Value) -> float:
    distinct = column.distinct
    if not column.numbers:
        # Without the ends, so that the line of a choice is not lost in a frame.
        return (distinct.index(value) + 0.5) / len(distinct)
    low, high = float(distinct[0]), float(distinct[-1])
    at = float(value)
    if low == high:
        return 0.5
    if low > 0 and high / low > _LOG_RATIO:
        return float(np.log(at / low) / np.log(high / low))
    return (at - low) / (high - low)


def _lines(
    heights: Array,
    scores: Array,
    span: ScoreRange,
    objective: Objective,
) -> LineCollection:
    trials, width = heights.shape
    # One hyperparameter alone has no line; a short level one stands for it.
    x = np.arange(width) if width > 1 else np.array([-0.06, 0.06])
    y = heights if width > 1 else np.repeat(heights, 2, axis=1)
    worst = span.high if objective.is_minimized else span.low
    low, high = (span.low, span.high) if span.high > span.low else span.limits
    alphas = np.clip(60 / trials, 0.25, 0.9) + 0.5 * (scores != worst) * np.linspace(0, 1, trials)
    lines = LineCollection(
        [np.column_stack([x, row]) for row in y],
        cmap="viridis" if objective.is_minimized else "viridis_r",
        norm=LogNorm(low, high) if span.is_log else Normalize(low, high),
        alpha=np.clip(alphas, 0, 1),
        linewidths=np.r_[np.full(trials - 1, 1.4 if trials <= 60 else 1.0), 3.0],
    )
    lines.set_array(scores)
    return lines


def _draw_axis(axes: Axes, place: int, column: Column) -> None:
    axes.plot([place, place], [0, 1], color=INK, lw=1)
    distinct = column.distinct
    named = distinct
    if column.numbers and len(distinct) > _TICKS:
        named = [distinct[0], distinct[len(distinct) // 2], distinct[-1]]
    labels = [(_height(column, value), _text(value)) for value in named]
    if None in column.values:
        labels.append((_MISSING, "not used"))
    for height, text in labels:
        axes.plot(place, height, "_", color=GREY if height < 0 else INK, ms=7)
        axes.annotate(
            printable(text),
            (place, height),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=GREY if height < 0 else INK,
            bbox={"fc": "white", "ec": "none", "alpha": 0.92, "pad": 0.8},
            zorder=5,
        )


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return shortened(value, 16) if isinstance(value, str) else number(value)


def _colorbar(axes: Axes, lines: ScalarMappable, report: JobReport) -> None:
    figure = axes.get_figure()
    assert figure is not None
    bar = figure.colorbar(lines, ax=axes, pad=0.01, aspect=30, fraction=0.05)
    bar.set_alpha(1)
    bar.outline.set_visible(False)
    if isinstance(lines.norm, LogNorm):
        plain_log(bar.ax, "y")
    target = shortened(report.job.spec.target)
    bar.set_label(f"{with_unit_below(score_label(report.job, target))}\n{better_is(report.job)}")


def _title(shown: int, columns: int, lines: int, trials: int) -> str:
    parts = []
    if shown < columns:
        parts.append(f"{shown} of {columns} hyperparameters")
    if lines < trials:
        parts.append(f"{lines} of {trials} trials")
    return f"{PARALLEL} ({', '.join(parts)})" if parts else PARALLEL
