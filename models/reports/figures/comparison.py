"""Jobs side by side in one picture."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from models.jobs.model import Job
from models.reports.comparison import ComparedJob, Comparison
from models.reports.figures.drawing import (
    CYCLE,
    GREY,
    INK,
    ScoreRange,
    explain,
    printable,
    render,
    score_range,
    with_unit_below,
)
from models.reports.figures.labels import better_is, score_label, shortened

_STYLES = ("-", "--", ":", "-.")  # with the colours enough for 20 jobs
_NO_SCORE = "No trial has a score."


def draw_comparison(comparison: Comparison, first: Job) -> bytes:
    """Draw best score so far over trials and over seconds, and best and test scores by job: a PNG.

    `first` is the first of the jobs, which says what the scores are.
    """
    jobs, rows = comparison.jobs, len(comparison.jobs)

    def draw(figure: Figure) -> None:
        places = figure.subplot_mosaic("AB;CC", height_ratios=[4.6, 1.6 + 0.34 * rows])
        span = _span(comparison)
        label = with_unit_below(score_label(first, shortened(first.spec.target)))
        _draw_curves(places["A"], comparison, span, label, over_seconds=False)
        _draw_curves(places["B"], comparison, span, label, over_seconds=True)
        _draw_scores(places["C"], comparison, f"{label}, {better_is(first)}")
        figure.legend(
            handles=[Line2D([], [], **_look(n), label=_name(job)) for n, job in enumerate(jobs)],
            loc="outside lower center",
            ncols=min(3, rows),
        )

    return render(draw, 14, 7.4 + 0.34 * rows + 0.25 * -(-rows // 3))


def _look(place: int) -> dict[str, Any]:
    return {
        "color": CYCLE[place % len(CYCLE)],
        "ls": _STYLES[place // len(CYCLE)],
        "lw": 2,
    }


def _name(job: ComparedJob) -> str:
    return printable(f"{job.strategy} · {shortened(job.model, 24)} · {job.id[-8:]}")


def _span(comparison: Comparison) -> ScoreRange | None:
    levels = {score for job in comparison.jobs for score in job.curve.best if score is not None}
    if not levels:
        return None
    return score_range(sorted(levels), comparison.jobs[0].objective)


def _draw_curves(
    axes: Axes,
    comparison: Comparison,
    span: ScoreRange | None,
    label: str,
    *,
    over_seconds: bool,
) -> None:
    title = f"Best score so far over {'seconds' if over_seconds else 'trials'}"
    if span is None:
        explain(axes, title, _NO_SCORE)
        return
    span.apply(axes)
    end = comparison.seconds if over_seconds else comparison.trials
    for place, job in enumerate(comparison.jobs):
        places = job.curve.seconds if over_seconds else job.curve.trials
        points = [(x, y) for x, y in zip(places, job.curve.best, strict=True) if y is not None]
        if points:
            axes.step(*zip(*points, strict=True), where="post", **_look(place))
            # Where a job has ended its best score stays, and counts so in the areas.
            last, score = points[-1]
            axes.plot([last, end], [score, score], **_look(place) | {"lw": 0.8, "alpha": 0.6})
            axes.plot(last, score, "o", color=_look(place)["color"], ms=6)
    axes.set_title(title)
    axes.set_ylabel(label)
    axes.set_xlim(0 if over_seconds else 0.8, max(end * 1.02, 1 if over_seconds else 1.2))
    axes.set_xlabel(
        "seconds since the first trial began" if over_seconds else "trials that have ended"
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=not over_seconds, min_n_ticks=1))


def _draw_scores(axes: Axes, comparison: Comparison, label: str) -> None:
    title = "Best score with its spread, and the registered version on the test rows"
    known: list[float | None] = []
    for job in comparison.jobs:
        if job.best_score is not None:
            known += [job.best_score - (job.spread or 0), job.best_score + (job.spread or 0)]
        if job.held_out is not None:
            known += [job.held_out.score, job.held_out.baseline, *(job.held_out.interval or ())]
    scores = [score for score in known if score is not None]
    if not scores:
        explain(axes, title, _NO_SCORE)
        return
    for place, job in enumerate(comparison.jobs):
        color = _look(place)["color"]
        if job.best_score is not None:
            axes.errorbar(
                job.best_score, place, xerr=job.spread or 0, fmt="o", color=color, ms=8, capsize=4
            )
        if job.held_out is not None and job.held_out.interval is not None:
            axes.plot(job.held_out.interval, [place, place], color=color, lw=1.2)
        if job.held_out is not None and job.held_out.score is not None:
            axes.plot(job.held_out.score, place, "D", mfc="white", mec=color, mew=1.8, ms=8)
        if job.held_out is not None and job.held_out.baseline is not None:
            axes.plot(job.held_out.baseline, place, "|", color=GREY, ms=14, mew=2.5)
    score_range(scores).apply(axes, "x")
    axes.set_yticks(range(len(comparison.jobs)), [_name(job) for job in comparison.jobs])
    axes.set_ylim(len(comparison.jobs) - 0.5, -0.5)
    axes.set_xlabel(label.replace("\n", " "))
    axes.set_title(title)
    axes.legend(
        handles=[
            Line2D([], [], color=INK, ls="", marker="o", ms=8, label="best score ± spread"),
            Line2D(
                [], [], color=INK, ls="", marker="D", mfc="white", ms=8, label="test score, 95 %"
            ),
            Line2D([], [], color=GREY, ls="", marker="|", ms=14, mew=2.5, label="baseline"),
        ],
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
    )
