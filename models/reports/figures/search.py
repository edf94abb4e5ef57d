"""Figures of a search: best score so far, learning curves, importance, and every trial's values."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from models.jobs.model import Outcome, Trial
from models.jobs.spec import JobSpec
from models.jobs.store.rows import rank
from models.reports.figures.drawing import (
    BLUE,
    CYCLE,
    GREY,
    INK,
    ORANGE,
    RED,
    SKY,
    FigureKind,
    ScoreRange,
    plain_log,
    printable,
    score_range,
    with_unit_below,
)
from models.reports.figures.labels import better_is, metric_label, number, score_label, shortened
from models.reports.importance import Column, varying_columns
from models.reports.job_report import JobReport, present, reason_of
from models.space.hyperparameters import Value
from models.trials.spec import Objective

Array = np.ndarray[Any, Any]

LEARNING_CURVES = 5  # trials shown
MAX_BARS = 15  # hyperparameters shown
MAX_LINES = 500  # trials of the parallel coordinates
MAX_COLUMNS = 12  # of the parallel coordinates
_FEW_EPOCHS = 10  # up to which every epoch has a dot
_FEW_TRIALS = 60  # up to which marks are large
_UNUSED = -0.09  # height of a value that had no effect; the others lie between 0 and 1
_LOG_RATIO = 30.0  # of the ends of a column, beyond which it is logarithmic
_FAN = 0.025  # half the height over which lines through one value are spread
_FANNED_TRIALS = 20  # beyond which they are
_TICKS = 6  # of a column, beyond which only its ends and its middle are named


def _draw_best_so_far(axes: Axes, report: JobReport) -> str:
    """Draw every trial's score in the order in which they ended, and the best one so far."""
    scores = {item.number: item.score for item in report.scored if item.score is not None}
    objective = report.job.spec.objective
    span = score_range(list(scores.values()), objective)
    span.apply(axes)
    order = report.curve.numbers
    scored = [(place, scores[n]) for place, n in enumerate(order, 1) if n in scores]
    size = 30 if len(scored) <= _FEW_TRIALS else 12
    inside = [(place, score) for place, score in scored if span.clip(score) == score]
    x, y = zip(*inside, strict=True)
    axes.scatter(x, y, s=size, color=SKY, label="trial", zorder=2)
    beyond = [place for place, score in scored if span.clip(score) != score]
    if beyond:
        axes.scatter(
            beyond,
            [max(span.limits, key=objective.loss)] * len(beyond),
            marker="^" if objective.is_minimized else "v",
            s=36,
            color=GREY,
            label=f"far worse ({len(beyond)})",
            clip_on=False,
            zorder=3,
        )
    failed = [place for place, n in enumerate(order, 1) if n not in scores]
    if failed:
        axes.scatter(
            failed,
            [0.02] * len(failed),
            marker="x",
            s=size,
            color=RED,
            label=f"failed ({len(failed)})",
            transform=axes.get_xaxis_transform(),
            clip_on=False,
        )
    best = [np.nan if score is None else score for score in report.curve.best]
    # The last level is drawn on to the end, also if the last trial brought it.
    places = [*report.curve.trials, len(best) + 0.5]
    axes.step(places, [*best, best[-1]], where="post", color=BLUE, lw=2, label="best so far")
    winner = (report.curve.improvement or 0) + 1
    axes.scatter(
        winner, best[-1], marker="*", s=220, color=ORANGE, ec=INK, lw=0.7, zorder=4, label="best"
    )
    axes.set_xlim(0.5, len(order) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("trials that have ended")
    axes.set_ylabel(_score_text(report))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=5)
    return better_is(report.job)


def _draw_importance(axes: Axes, report: JobReport) -> str:
    """Draw bars of out-of-bag R² lost; the title says how far to trust them."""
    found = present(report.importance)
    items = found.items[:MAX_BARS][::-1]
    axes.barh(
        [printable(item.hyperparameter) for item in items],
        [item.importance for item in items],
        xerr=[item.spread for item in items],
        color=BLUE if found.warning is None else GREY,
        ecolor=INK,
        capsize=3,
        height=0.62,
    )
    axes.axvline(0, color=INK, lw=0.8)
    axes.grid(axis="y", visible=False)
    text = "R² lost when the values are shuffled"
    if found.warning is not None:
        text += "\nGrey: " + "\n".join(textwrap.wrap(found.warning, 80))
    axes.set_xlabel(text)
    r2 = "undefined" if found.oob_r2 is None else f"{found.oob_r2:.2f}"
    return f"{found.trials} trials, out-of-bag R² {r2}"


def _draw_learning_curves(axes: Axes, report: JobReport) -> None:
    """Draw loss per epoch of the best trials: on training rows dashed, on validation rows solid."""
    trials = list(report.leaders[:LEARNING_CURVES])
    spec = report.job.spec
    validates = spec.evaluation.method != "train"
    names = ("loss", "val_loss") if validates else ("loss",)
    known = np.concatenate([_losses(trial, name) for trial in trials for name in names])
    finite = known[np.isfinite(known)].tolist()
    if finite:
        score_range(finite, Objective("loss", "min")).apply(axes)
    longest = max(len(_losses(trial, "loss")) for trial in trials)
    marker = "." if longest <= _FEW_EPOCHS else ""
    last = max(
        _draw_losses(axes, trial, color, marker, validates)
        for trial, color in zip(trials, CYCLE, strict=False)
    )
    axes.set_xlim(0.5, last + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch")
    axes.set_ylabel(with_unit_below(metric_label("loss", spec.task, shortened(spec.target))))
    axes.legend(
        handles=_learning_legend(trials, spec), loc="center left", bbox_to_anchor=(1.01, 0.5)
    )


def _draw_losses(axes: Axes, trial: Trial, color: str, marker: str, validates: bool) -> int:
    """Draw the losses of one trial; return its last epoch."""
    result = trial.result or {}
    training, validation = _losses(trial, "loss"), _losses(trial, "val_loss")
    last = int(result.get("epochs") or len(training))
    epochs = np.arange(last - len(training) + 1, last + 1)
    axes.plot(epochs, training, color=color, lw=1.3, ls="--" if validates else "-", marker=marker)
    if validates:
        axes.plot(epochs, validation, color=color, lw=1.9, marker=marker)
    shown, best = validation if validates else training, result.get("best_epoch")
    if best is not None and epochs[0] <= best <= last:
        axes.plot(best, shown[best - epochs[0]], "o", ms=7, mfc="white", mec=color, mew=1.8)
    return last


def _losses(trial: Trial, name: str) -> Array:
    history = (trial.result or {}).get("history") or {}
    values = [np.nan if value is None else value for value in history.get(name, [])]
    return np.array(values, dtype=np.float64)


def _learning_legend(trials: list[Trial], spec: JobSpec) -> list[Line2D]:
    validates = spec.evaluation.method != "train"
    is_weighted = spec.class_weight is not None or spec.sample_weight is not None
    handles = [
        Line2D([], [], color=color, lw=2, label=f"trial {trial.number}: {number(trial.score)}")
        for trial, color in zip(trials, CYCLE, strict=False)
    ]
    if validates:
        handles.append(Line2D([], [], color=INK, lw=1.9, label="validation rows"))
    training = Line2D([], [], color=INK, lw=1.3, ls="--" if validates else "-")
    training.set_label("training rows, weighted" if is_weighted else "training rows")
    best = Line2D([], [], color=INK, ls="", marker="o", mfc="white", mew=1.8, label="best epoch")
    return [*handles, training, best]


def _draw_parallel_coordinates(axes: Axes, report: JobReport) -> str:
    """Draw each trial as a line through its values, coloured by score.

    The best trials lie on top and are darkest; more than MAX_LINES are thinned out by rank.
    """
    scored, objective = report.scored, report.job.spec.objective
    span = score_range([item.score or 0.0 for item in scored], objective)
    columns = varying_columns(scored)
    shown = _most_important(columns, report)
    order = _best_last(scored, objective)
    heights = np.column_stack([_heights(column, order) for column in shown])
    scores = np.array([span.clip(scored[place].score or 0.0) for place in order])
    lines = _lines(heights, scores, span, objective)
    axes.add_collection(lines)
    axes.set(xlim=(-0.15, len(shown) - 0.65), ylim=(-0.16, 1.06), yticks=[])
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    slanted = len(shown) > 8
    axes.set_xticks(
        range(len(shown)),
        [printable(shortened(column.name, 20)) for column in shown],
        rotation=25 if slanted else 0,
        ha="right" if slanted else "center",
        fontweight="bold",
    )
    axes.tick_params(axis="x", length=0)
    for place, column in enumerate(shown):
        _draw_column(axes, place, column)
    _draw_colorbar(axes, lines, report)
    parts = [f"{len(shown)} of {len(columns)} hyperparameters"] if shown != columns else []
    parts += [f"{len(order)} of {len(scored)} trials"] if len(order) < len(scored) else []
    return ", ".join(parts)


def _most_important(columns: list[Column], report: JobReport) -> list[Column]:
    """Return as many columns as there is room for, in the order of the values."""
    ranked = [column.hyperparameter for column in columns]
    if reason_of(report.importance) is None:
        ranked = [item.hyperparameter for item in present(report.importance).items]
    places = {name: place for place, name in reversed(list(enumerate(ranked)))}
    first = sorted(columns, key=lambda column: places.get(column.hyperparameter, len(ranked)))
    kept = {column.name for column in first[:MAX_COLUMNS]}
    return [column for column in columns if column.name in kept]


def _best_last(scored: Sequence[Outcome], objective: Objective) -> list[int]:
    order = sorted(range(len(scored)), key=lambda place: rank(objective, scored[place]))[::-1]
    places = np.linspace(0, len(order) - 1, min(len(order), MAX_LINES)).astype(np.int64)
    return [order[place] for place in places]


def _heights(column: Column, order: list[int]) -> Array:
    """Return where the lines of the trials in this order, worst first, cross a column."""
    values = [column.values[place] for place in order]
    heights = np.array([_UNUSED if v is None else _height(column, v) for v in values])
    if len(order) > _FANNED_TRIALS and (len(column.distinct) <= _TICKS or not column.numbers):
        # Lines that would meet in one point fan out, the better ones above.
        heights += np.linspace(-_FAN, _FAN, len(order))
    return heights


def _height(column: Column, value: Value) -> float:
    distinct = column.distinct
    if not column.numbers:
        # Without the ends, so that the line of a choice is not lost in a frame.
        return (distinct.index(value) + 0.5) / len(distinct)
    low, high, at = float(distinct[0]), float(distinct[-1]), float(value)
    if low == high:
        return 0.5
    if low > 0 and high / low > _LOG_RATIO:
        return float(np.log(at / low) / np.log(high / low))
    return (at - low) / (high - low)


def _lines(heights: Array, scores: Array, span: ScoreRange, objective: Objective) -> LineCollection:
    trials, width = heights.shape
    # One hyperparameter alone has no line; a short level one stands for it.
    x = np.arange(width) if width > 1 else np.array([-0.06, 0.06])
    y = heights if width > 1 else np.repeat(heights, 2, axis=1)
    worst = max(span.low, span.high, key=objective.loss)
    low, high = (span.low, span.high) if span.high > span.low else span.limits
    alphas = np.clip(60 / trials, 0.25, 0.9) + 0.5 * (scores != worst) * np.linspace(0, 1, trials)
    lines = LineCollection(
        [np.column_stack([x, row]) for row in y],
        cmap="viridis" if objective.is_minimized else "viridis_r",
        norm=LogNorm(low, high) if span.is_log else Normalize(low, high),
        alpha=np.clip(alphas, 0, 1),
        linewidths=np.r_[np.full(trials - 1, 1.4 if trials <= _FEW_TRIALS else 1.0), 3.0],
    )
    lines.set_array(scores)
    return lines


def _draw_column(axes: Axes, place: int, column: Column) -> None:
    axes.plot([place, place], [0, 1], color=INK, lw=1)
    named = distinct = column.distinct
    if column.numbers and len(distinct) > _TICKS:
        named = [distinct[0], distinct[len(distinct) // 2], distinct[-1]]
    labels = [(_height(column, value), _value_text(value), INK) for value in named]
    if None in column.values:
        labels.append((_UNUSED, "not used", GREY))
    for height, text, color in labels:
        axes.plot(place, height, "_", color=color, ms=7)
        axes.annotate(
            printable(text),
            (place, height),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=color,
            bbox={"fc": "white", "ec": "none", "alpha": 0.92, "pad": 0.8},
            zorder=5,
        )


def _value_text(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return shortened(value, 16) if isinstance(value, str) else number(value)


def _draw_colorbar(axes: Axes, lines: ScalarMappable, report: JobReport) -> None:
    figure = axes.get_figure()
    assert figure is not None
    bar = figure.colorbar(lines, ax=axes, pad=0.01, aspect=30, fraction=0.05)
    bar.set_alpha(1)
    bar.outline.set_visible(False)
    if isinstance(lines.norm, LogNorm):
        plain_log(bar.ax, "y")
    bar.set_label(f"{_score_text(report)}\n{better_is(report.job)}")


def _score_text(report: JobReport) -> str:
    return with_unit_below(score_label(report.job, shortened(report.job.spec.target)))


def _no_score(report: JobReport) -> str | None:
    return None if report.scored else "No trial has a score."


def _no_difference(report: JobReport) -> str | None:
    alike = None if varying_columns(report.scored) else "All trials had the same values."
    return _no_score(report) or alike


BEST_SO_FAR = FigureKind(
    title="Best score so far",
    draw=_draw_best_so_far,
    missing=_no_score,
    height=4.8,
)
IMPORTANCE = FigureKind(
    title="Importance of hyperparameters",
    draw=_draw_importance,
    missing=lambda report: reason_of(report.importance),
    height=4.8,
)
PARALLEL_COORDINATES = FigureKind(
    title="Every trial's values",
    draw=_draw_parallel_coordinates,
    missing=_no_difference,
    height=5.5,
)
LEARNING = FigureKind(
    title="Learning curves of the best trials",
    draw=_draw_learning_curves,
    missing=_no_score,
    height=5,
)
