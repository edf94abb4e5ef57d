"""The figure of a front: every trial by its first two objectives."""

from matplotlib.axes import Axes

from models.jobs.front import front_of, scores_of
from models.jobs.model import Outcome
from models.reports.figures.drawing import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    SKY,
    FigureKind,
    score_range,
    with_unit_below,
)
from models.reports.figures.labels import metric_label, shortened
from models.reports.job_report import JobReport
from models.trials.spec import Objective

_NAMED = 12  # trials of the front, up to which each has its number


def _draw_front(axes: Axes, report: JobReport) -> str:
    """Draw trials by two scores; the front, of all objectives, is joined by a line."""
    spec = report.job.spec
    front = {trial.number for trial in front_of(spec, report.outcomes)}
    scored = _scored(report)
    x, y = spec.objectives[:2]
    points = {
        trial.number: (scores[x.metric], scores[y.metric])
        for trial in scored
        if (scores := scores_of(spec.objectives, trial))
    }
    for objective, which, place in ((x, "x", 0), (y, "y", 1)):
        score_range([point[place] for point in points.values()], objective).apply(axes, which)
        getattr(axes, f"set_{which}label")(_label(report, objective))
    outside = [trial for trial in scored if not trial.fits]
    others = [trial for trial in scored if trial.fits and trial.number not in front]
    for trials, colour, mark, label in (
        (outside, GREY, "x", "breaks a constraint"),
        (others, SKY, "o", "other trial"),
    ):
        if trials:
            across, up = zip(*(points[trial.number] for trial in trials), strict=True)
            axes.scatter(across, up, s=24, color=colour, marker=mark, label=label, zorder=2)
    best = sorted((points[number], number) for number in front)
    if best:
        across, up = zip(*(point for point, _ in best), strict=True)
        axes.plot(across, up, color=BLUE, lw=1.3, zorder=3)
        axes.scatter(
            across, up, s=52, color=ORANGE, ec=INK, lw=0.7, label="front", zorder=4, clip_on=False
        )
    for point, number in best if len(best) <= _NAMED else ():
        axes.annotate(str(number), point, (5, 5), textcoords="offset points", fontsize=9)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
    return f"{len(front)} of {len(scored)} trials"


def _scored(report: JobReport) -> list[Outcome]:
    return [item for item in report.scored if item.scores]


def _label(report: JobReport, objective: Objective) -> str:
    spec = report.job.spec
    better = "lower" if objective.is_minimized else "higher"
    label = metric_label(
        objective.metric, spec.task, shortened(spec.target), objective.positive_class
    )
    return f"{with_unit_below(label)}, {better} is better"


FRONT = FigureKind(
    title="Front",
    draw=_draw_front,
    missing=lambda report: None if _scored(report) else "No trial has a score.",
    height=4.8,
)
