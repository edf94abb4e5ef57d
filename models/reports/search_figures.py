"""How a search went: its best score over time, its learning curves, what mattered."""

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from models.jobs.model import Trial
from models.jobs.spec import JobSpec
from models.reports.canvas import (
    BLUE,
    CYCLE,
    GREY,
    INK,
    ORANGE,
    RED,
    SKY,
    plain_log,
    printable,
    with_unit_below,
)
from models.reports.importance import Importance
from models.reports.labels import better_is, metric_label, number, score_label, shortened
from models.reports.report import JobReport, Missing
from models.reports.score_range import ScoreRange, score_range
from models.trials.objective import Objective

Array = np.ndarray[Any, Any]

BEST_SO_FAR = "Best score so far"
LEARNING = "Learning curves of the best trials"
MATTERED = "What mattered"

LEARNING_CURVES = 5  # trials shown
_BARS = 15  # hyperparameters shown
_FEW_EPOCHS = 10  # up to which every epoch has a dot


def draw_best_so_far(axes: Axes, report: JobReport) -> None:
    """Every trial's score in the order in which they ended, and the best one so far.

    At least one trial must have a score.
    """
    scores = {item.number: item.score for item in report.outcomes if item.score is not None}
    objective = report.job.spec.objective
    span = score_range(list(scores.values()), objective)
    set_score_axis(axes, span)
    order = report.curve.numbers
    scored = [(place, scores[n]) for place, n in enumerate(order, 1) if n in scores]
    inside = [(place, score) for place, score in scored if span.clip(score) == score]
    small = 30 if len(scored) <= 60 else 12
    x, y = zip(*inside, strict=True)
    axes.scatter(x, y, s=small, color=SKY, label="trial", zorder=2)
    _mark_beyond(axes, [pair for pair in scored if pair not in inside], span, objective)
    failed = [place for place, n in enumerate(order, 1) if n not in scores]
    if failed:
        axes.scatter(
            failed,
            [0.02] * len(failed),
            marker="x",
            s=small,
            color=RED,
            label=f"failed ({len(failed)})",
            transform=axes.get_xaxis_transform(),
            clip_on=False,
        )
    best = [np.nan if score is None else score for score in report.curve.best]
    # The last level is drawn on to the end, also where the last trial brought it.
    places = [*range(1, len(best) + 1), len(best) + 0.5]
    axes.step(places, [*best, best[-1]], where="post", color=BLUE, lw=2, label="best so far")
    winner = (report.curve.improvement or 0) + 1
    axes.scatter(
        winner, best[-1], marker="*", s=220, color=ORANGE, ec=INK, lw=0.7, zorder=4, label="best"
    )
    axes.set_xlim(0.5, len(order) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("trials that have ended")
    axes.set_ylabel(_score_text(report))
    axes.set_title(f"{BEST_SO_FAR} ({better_is(report.job)})")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=5)


def draw_learning_curves(axes: Axes, report: JobReport) -> None:
    """Loss per epoch of the best trials: on training rows dashed, on validation rows solid.

    At least one trial must have a score.
    """
    trials = list(report.leaders[:LEARNING_CURVES])
    spec = report.job.spec
    validates = spec.evaluation.method != "train"
    names = ("loss", "val_loss") if validates else ("loss",)
    known = np.concatenate([_loss(trial, name) for trial in trials for name in names])
    set_score_axis(axes, score_range(known[np.isfinite(known)].tolist(), Objective("loss", "min")))
    longest = max(len(_loss(trial, "loss")) for trial in trials)
    marker = "." if longest <= _FEW_EPOCHS else ""
    last = max(
        _draw_losses(axes, trial, color, marker, validates)
        for trial, color in zip(trials, CYCLE, strict=False)
    )
    axes.set_xlim(0.5, last + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch")
    axes.set_ylabel(with_unit_below(metric_label("loss", spec.task, shortened(spec.target))))
    axes.set_title(LEARNING)
    axes.legend(
        handles=_learning_legend(trials, spec), loc="center left", bbox_to_anchor=(1.01, 0.5)
    )


def draw_importance(axes: Axes, report: JobReport) -> None:
    """Bars of out-of-bag R² lost; the title tells how far the forest is to be trusted."""
    found = report.importance
    assert not isinstance(found, Missing)
    items = found.items[:_BARS][::-1]
    names = [printable(item.hyperparameter) for item in items]
    axes.barh(
        names,
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
    axes.set_title(f"{MATTERED} ({_trust(found)})")


def set_score_axis(axes: Axes, span: ScoreRange) -> None:
    """Give the y axis the range of the scores."""
    axes.set_ylim(*span.limits)
    if span.is_log:
        plain_log(axes, "y")


def _mark_beyond(
    axes: Axes, pairs: list[tuple[int, float]], span: ScoreRange, objective: Objective
) -> None:
    if not pairs:
        return
    worst = span.limits[1] if objective.is_minimized else span.limits[0]
    axes.scatter(
        [place for place, _ in pairs],
        [worst] * len(pairs),
        marker="^" if objective.is_minimized else "v",
        s=36,
        color=GREY,
        label=f"far worse ({len(pairs)})",
        clip_on=False,
        zorder=3,
    )


def _draw_losses(axes: Axes, trial: Trial, color: str, marker: str, validates: bool) -> int:
    training, validation = _loss(trial, "loss"), _loss(trial, "val_loss")
    last = (trial.result or {}).get("epochs") or len(training)
    epochs = np.arange(last - len(training) + 1, last + 1)
    axes.plot(epochs, training, color=color, lw=1.3, ls="--" if validates else "-", marker=marker)
    best = (trial.result or {}).get("best_epoch")
    shown = training
    if validates:
        shown = validation
        axes.plot(epochs, validation, color=color, lw=1.9, marker=marker)
    if best is not None and epochs[0] <= best <= last:
        axes.plot(best, shown[best - epochs[0]], "o", ms=7, mfc="white", mec=color, mew=1.8)
    return int(last)


def _loss(trial: Trial, name: str) -> Array:
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


def _score_text(report: JobReport) -> str:
    return with_unit_below(score_label(report.job, shortened(report.job.spec.target)))


def _trust(found: Importance) -> str:
    r2 = "undefined" if found.oob_r2 is None else f"{found.oob_r2:.2f}"
    return f"{found.trials} trials, out-of-bag R² {r2}"
