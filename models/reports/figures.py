"""The figures of a report on one job: each by itself, or all in one picture."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.data.tasks import Task
from models.reports.canvas import INK, printable, render
from models.reports.held_out_figures import draw_confusion, draw_predicted, draw_roc
from models.reports.labels import moment, shortened
from models.reports.parallel_figure import draw_parallel_coordinates
from models.reports.report import JobReport
from models.reports.search_figures import (
    draw_best_so_far,
    draw_importance,
    draw_learning_curves,
)

Draw = Callable[[Axes, JobReport], None]


@dataclass(frozen=True, slots=True)
class FigureKind:
    """One of the figures that a report can have."""

    name: str
    alternative: str  # text for those who do not see it
    draw: Draw
    width: float  # inches
    height: float


_SEARCH = {
    "A": FigureKind(
        "best_so_far",
        "Each trial's score in the order in which they ended, with the best score so far.",
        draw_best_so_far,
        9,
        5,
    ),
    "B": FigureKind(
        "importance",
        "Bars of how much each hyperparameter mattered to the score.",
        draw_importance,
        9,
        5,
    ),
    "C": FigureKind(
        "parallel_coordinates",
        "Each trial as a line through its hyperparameter values, coloured by score.",
        draw_parallel_coordinates,
        14,
        5.5,
    ),
    "D": FigureKind(
        "learning_curves",
        "Loss per epoch of the best trials on training and validation rows.",
        draw_learning_curves,
        9,
        5,
    ),
}
_PREDICTED = FigureKind(
    "predicted", "Predictions for the test rows against their true values.", draw_predicted, 6.5, 6
)
_CONFUSION = FigureKind(
    "confusion", "Test rows by true and predicted class.", draw_confusion, 7.5, 6.5
)
_ROC = FigureKind(
    "roc", "True against false positives on the test rows at every threshold.", draw_roc, 6.5, 6
)


def kinds_of(task: Task) -> dict[str, FigureKind]:
    """The figures of a report, by the letter of their place in the picture."""
    if task is Task.REGRESSION:
        return _SEARCH | {"E": _PREDICTED}
    return _SEARCH | {"E": _CONFUSION, "F": _ROC}


def draw_each(report: JobReport) -> list[tuple[FigureKind, bytes]]:
    """Every figure as a PNG of its own, in the order of a report."""

    def draw(kind: FigureKind) -> bytes:
        return render(lambda figure: kind.draw(figure.subplots(), report), kind.width, kind.height)

    return [(kind, draw(kind)) for kind in kinds_of(report.job.spec.task).values()]


def draw_picture(report: JobReport) -> bytes:
    """Every figure in one PNG."""
    kinds = kinds_of(report.job.spec.task)
    has_roc = "F" in kinds
    layout = "AABB;CCCC;DDDD;EEFF" if has_roc else "AABB;CCCC;DDEE"
    heights = [5, 5.5, 5, 6.5] if has_roc else [5, 5.5, 6.5]

    def draw(figure: Figure) -> None:
        places: dict[Any, Axes] = figure.subplot_mosaic(layout, height_ratios=heights)
        for letter, kind in kinds.items():
            kind.draw(places[letter], report)
        figure.suptitle(_heading(report), x=0.01, ha="left", fontsize=14, color=INK)

    return render(draw, 16, sum(heights) + 0.8)


def _heading(report: JobReport) -> str:
    job = report.job
    text = f"{shortened(job.model, 60)}  ·  {job.spec.strategy.name} search  ·  {job.id}"
    return printable(f"{text}  ·  {job.state}  ·  {moment(report.moment)}")
