"""The picture of a job: every figure of its report in one PNG."""

from matplotlib.figure import Figure

from models.data.preparation.tasks import Task
from models.jobs.spec import JobSpec
from models.reports.cache import ResultCache, digest_of_report
from models.reports.figures.columns import COLUMN_IMPORTANCE, DEPENDENCE
from models.reports.figures.drawing import INK, FigureKind, explain, printable, render
from models.reports.figures.front import FRONT
from models.reports.figures.held_out import CONFUSION, PREDICTED, RELIABILITY, ROC
from models.reports.figures.labels import moment, shortened
from models.reports.figures.search import (
    BEST_SO_FAR,
    IMPORTANCE,
    LEARNING,
    PARALLEL_COORDINATES,
)
from models.reports.job_report import JobReport

_WIDTH = 15.0  # inches, of the picture
_NOTE_HEIGHT = 1.1  # inches, of a row in which no figure can be drawn


def draw_picture(report: JobReport, cache: ResultCache) -> bytes:
    """Return every figure of the report in one PNG, which is drawn if the cache has none."""
    job = report.job
    key = digest_of_report(report), job.model, job.id, job.state
    return cache.get(key, lambda: _draw_together(report))


def _draw_together(report: JobReport) -> bytes:
    rows = _rows(report.job.spec)
    heights = [_height(row, report) for row in rows]

    def draw(figure: Figure) -> None:
        parts = figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0]
        for part, row in zip(parts, rows, strict=True):
            for axes, kind in zip(part.subplots(1, len(row), squeeze=False)[0], row, strict=True):
                reason = kind.missing(report)
                if reason is None:
                    kind.fill(axes, report)
                else:
                    explain(axes, kind.title, reason)
        figure.suptitle(_heading(report), x=0.01, ha="left", fontsize=14, color=INK)

    return render(draw, _WIDTH, sum(heights) + 0.6)


def _rows(spec: JobSpec) -> list[list[FigureKind]]:
    """The figures of a report, as they stand beside and below each other in the picture."""
    first = [[BEST_SO_FAR, IMPORTANCE], [PARALLEL_COORDINATES]]
    if spec.other_objectives:
        first.insert(0, [FRONT])
    columns = [[COLUMN_IMPORTANCE], [DEPENDENCE]]
    if spec.task is Task.REGRESSION:
        return [*first, [LEARNING, PREDICTED], *columns]
    return [*first, [LEARNING, RELIABILITY], [CONFUSION, ROC], *columns]


def _height(row: list[FigureKind], report: JobReport) -> float:
    drawn = [kind.height for kind in row if kind.missing(report) is None]
    return max(drawn, default=_NOTE_HEIGHT)


def _heading(report: JobReport) -> str:
    job = report.job
    text = f"{shortened(job.model, 60)}  ·  {job.spec.strategy.name} search  ·  {job.id}"
    return printable(f"{text}  ·  {job.state}  ·  {moment(report.moment)}")
