"""The figures of a report on one job: each by itself, or all in one picture."""

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.data.preparation.tasks import Task
from models.reports.canvas import INK, printable, render, say
from models.reports.held_out_figures import (
    CONFUSION,
    PREDICTED,
    ROC,
    draw_confusion,
    draw_predicted,
    draw_roc,
    roc_curves,
)
from models.reports.labels import moment, shortened
from models.reports.parallel_figure import PARALLEL, draw_parallel_coordinates
from models.reports.report import DrawnFigure, JobReport, Missing
from models.reports.search_figures import (
    BEST_SO_FAR,
    LEARNING,
    MATTERED,
    draw_best_so_far,
    draw_importance,
    draw_learning_curves,
)
from models.reports.varying import varying_columns

_WIDTH = 15.0  # inches, of the picture
_NOTE_HEIGHT = 1.1  # inches, of a row in which no figure can be drawn


@dataclass(frozen=True, slots=True)
class FigureKind:
    """One of the figures that a report can have."""

    name: str
    title: str
    alternative: str  # text for those who do not see it
    draw: Callable[[Axes, JobReport], None]
    missing: Callable[[JobReport], str | None]  # why it cannot be drawn
    width: float  # inches
    height: float


def _no_score(report: JobReport) -> str | None:
    return None if report.scored else "No trial has a score."


def _no_difference(report: JobReport) -> str | None:
    alike = None if varying_columns(report.scored) else "All trials had the same values."
    return _no_score(report) or alike


def _no_importance(report: JobReport) -> str | None:
    return report.importance.reason if isinstance(report.importance, Missing) else None


def _no_answers(report: JobReport) -> str | None:
    return report.answers.reason if isinstance(report.answers, Missing) else None


def _no_prediction(report: JobReport) -> str | None:
    if isinstance(report.answers, Missing):
        return report.answers.reason
    finite = any(value is not None for value in report.answers["predictions"] or [])
    return None if finite else "No prediction is finite."


def _no_roc(report: JobReport) -> str | None:
    if isinstance(report.answers, Missing):
        return report.answers.reason
    return None if roc_curves(report.answers) else "The test rows hold one class only."


_BEST_SO_FAR = FigureKind(
    "best_so_far",
    BEST_SO_FAR,
    "Each trial's score in the order in which they ended, with the best score so far.",
    draw_best_so_far,
    _no_score,
    7.5,
    4.8,
)
_MATTERED = FigureKind(
    "importance",
    MATTERED,
    "Bars of how much each hyperparameter mattered to the score.",
    draw_importance,
    _no_importance,
    7.5,
    4.8,
)
_PARALLEL = FigureKind(
    "parallel_coordinates",
    PARALLEL,
    "Each trial as a line through its hyperparameter values, coloured by score.",
    draw_parallel_coordinates,
    _no_difference,
    12.5,
    5.5,
)
_LEARNING = FigureKind(
    "learning_curves",
    LEARNING,
    "Loss per epoch of the best trials on training and validation rows.",
    draw_learning_curves,
    _no_score,
    7.5,
    5,
)
_PREDICTED = FigureKind(
    "predicted",
    PREDICTED,
    "Predictions for the test rows against their true values.",
    draw_predicted,
    _no_prediction,
    6.5,
    6,
)
_CONFUSION = FigureKind(
    "confusion",
    CONFUSION,
    "Test rows by true and predicted class.",
    draw_confusion,
    _no_answers,
    7.5,
    6.5,
)
_ROC = FigureKind(
    "roc",
    ROC,
    "True against false positives on the test rows at every threshold.",
    draw_roc,
    _no_roc,
    6.5,
    6.5,
)


def rows_of(task: Task) -> list[list[FigureKind]]:
    """The figures of a report, as they stand beside and below each other."""
    first = [[_BEST_SO_FAR, _MATTERED], [_PARALLEL]]
    if task is Task.REGRESSION:
        return [*first, [_LEARNING, _PREDICTED]]
    return [*first, [_LEARNING], [_CONFUSION, _ROC]]


def draw_each(report: JobReport) -> list[DrawnFigure]:
    """Every figure as a PNG of its own, or why there is none, in the order of a report."""
    kinds = [kind for row in rows_of(report.job.spec.task) for kind in row]
    return [_draw_one(kind, report) for kind in kinds]


def draw_picture(report: JobReport) -> bytes:
    """Every figure in one PNG."""
    rows = rows_of(report.job.spec.task)
    heights = [_height(row, report) for row in rows]

    def draw(figure: Figure) -> None:
        parts = figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0]
        for part, row in zip(parts, rows, strict=True):
            places = part.subplots(1, len(row), squeeze=False)[0]
            for axes, kind in zip(places, row, strict=True):
                reason = kind.missing(report)
                if reason is None:
                    kind.draw(axes, report)
                else:
                    say(axes, kind.title, reason)
        figure.suptitle(_heading(report), x=0.01, ha="left", fontsize=14, color=INK)

    return render(draw, _WIDTH, sum(heights) + 0.6)


def _draw_one(kind: FigureKind, report: JobReport) -> DrawnFigure:
    missing = kind.missing(report)
    png = None
    if missing is None:
        png = render(lambda figure: kind.draw(figure.subplots(), report), kind.width, kind.height)
    return DrawnFigure(kind.name, kind.title, kind.alternative, png, missing)


def _height(row: list[FigureKind], report: JobReport) -> float:
    drawn = [kind.height for kind in row if kind.missing(report) is None]
    return max(drawn, default=_NOTE_HEIGHT)


def _heading(report: JobReport) -> str:
    job = report.job
    text = f"{shortened(job.model, 60)}  ·  {job.spec.strategy.name} search  ·  {job.id}"
    return printable(f"{text}  ·  {job.state}  ·  {moment(report.moment)}")
