"""Figures of the registered version's answers on the test rows."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from sklearn.metrics import auc, confusion_matrix, r2_score, roc_curve

from models.data.preparation.tasks import ClassLabel, Task
from models.registry.documents import Document
from models.reports.figures.drawing import BLUE, CYCLE, GREY, INK, RED, FigureKind, printable
from models.reports.figures.labels import number, shortened
from models.reports.job_report import JobReport, present, reason_of
from models.trials.metrics import predicted_classes

Array = np.ndarray[Any, Any]

_NAMED_CLASSES = 20  # up to which a confusion matrix names each class and counts each cell
_FEW_CLASSES = 6
_CURVES = len(CYCLE)  # classes with a ROC curve of their own colour


def _draw_predicted(axes: Axes, report: JobReport) -> str:
    """Draw each test row's prediction against its true value; the diagonal is right."""
    answers = present(report.answers)
    given = [np.nan if value is None else value for value in answers["predictions"] or []]
    finite = np.isfinite(given)
    truth = np.array(answers["truth"], dtype=np.float64)[finite]
    predicted = np.array(given)[finite]
    both = np.concatenate([truth, predicted])
    margin = 0.04 * np.ptp(both) or 0.5
    ends = (float(both.min() - margin), float(both.max() + margin))
    few = len(truth) <= 300
    axes.scatter(truth, predicted, s=26 if few else 9, alpha=0.65 if few else 0.3, color=BLUE, lw=0)
    axes.plot(ends, ends, color=RED, lw=1.3, ls="--", label="right")
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    axes.ticklabel_format(useOffset=False)
    target = printable(shortened(answers["target"]))
    axes.set_xlabel(f"true {target}")
    axes.set_ylabel(f"predicted {target}")
    r2 = f", R² {r2_score(truth, predicted):.3f}" if np.ptp(truth) > 0 else ""
    axes.legend(loc="upper left")
    return f"{_rows_text(answers)}{r2}"


def _draw_confusion(axes: Axes, report: JobReport) -> str:
    """Draw test rows by true and predicted class; the shade is the share of the true class."""
    answers = present(report.answers)
    truth, probabilities = _class_answers(answers)
    classes = answers["classes"] or []
    threshold = answers.get("threshold")
    predicted = predicted_classes(probabilities, answers.get("positive"), threshold)
    counts = confusion_matrix(truth, predicted, labels=np.arange(len(classes)))
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    _name_classes(axes, [printable(shortened(_class_name(name), 14)) for name in classes])
    if len(classes) <= _NAMED_CLASSES:
        _count_cells(axes, counts, shares)
    figure = axes.get_figure()
    assert figure is not None
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.9)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    right = float(np.trace(counts) / max(1, counts.sum()))
    at = "" if threshold is None else f", threshold {number(threshold)}"
    return f"{_rows_text(answers)}{at}, accuracy {right:.3f}"


def _draw_roc(axes: Axes, report: JobReport) -> str:
    """Draw true against false positives at every threshold, for each class against the rest."""
    answers = present(report.answers)
    curves = _roc_curves(answers)
    for place, (name, false, true, area) in enumerate(curves):
        if len(curves) <= _CURVES:
            label = printable(f"class {shortened(name, 18)}: area {area:.3f}")
            axes.plot(false, true, color=CYCLE[place], lw=2, label=label)
        else:
            axes.plot(false, true, color=GREY, lw=0.8, alpha=0.6)
    if len(curves) > _CURVES:
        grid = np.linspace(0, 1, 201)
        mean = np.mean([np.interp(grid, false, true) for _, false, true, _ in curves], axis=0)
        areas = float(np.mean([area for *_, area in curves]))
        label = f"mean of {len(curves)} classes: area {areas:.3f}"
        axes.plot(grid, np.r_[0.0, mean[1:]], color=BLUE, lw=2.4, label=label)
    axes.plot([0, 1], [0, 1], color=INK, lw=1, ls=":", label="guessing: area 0.5")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.set_xlabel("false positives (share of the other classes)")
    axes.set_ylabel("true positives (share of the class)")
    against = "" if answers["task"] == Task.BINARY else "each class against the rest, "
    axes.legend(loc="lower right")
    return f"{against}{_rows_text(answers)}"


def _roc_curves(answers: Document) -> list[tuple[str, Array, Array, float]]:
    """Return name, false and true positive shares (points,), and area, by class.

    A class that all or no rows have has no curve; a binary task has that of its second class.
    """
    truth, probabilities = _class_answers(answers)
    classes = answers["classes"] or []
    wanted = [1] if answers["task"] == Task.BINARY else range(len(classes))
    found = []
    for place in wanted:
        positive = truth == place
        if positive.any() and not positive.all():
            false, true, _ = roc_curve(positive, probabilities[:, place])
            found.append((_class_name(classes[place]), false, true, float(auc(false, true))))
    return found


def _draw_reliability(axes: Axes, report: JobReport) -> str:
    """Draw how often a class occurs, or an answer is right, for probabilities that are alike."""
    found = present(report.version).calibration or {}
    served, before = found["test"], found.get("untempered")
    axes.plot([0, 1], [0, 1], color=INK, lw=1, ls=":", label="as sure as right")
    curves = [(served, BLUE, "as served")]
    if before is not None:
        label = f"without its temperature of {number(found['temperature'])}"
        curves.insert(0, (before, GREY, label))
    for curve, color, label in curves:
        given, shares, rows = (
            np.array([each[name] for each in curve["bins"]])
            for name in ("probability", "share", "rows")
        )
        text = f"{label}: ECE {curve['ece']:.3f}"
        axes.plot(given, shares, color=color, lw=2, label=text)
        axes.scatter(given, shares, s=8 + 90 * rows / rows.max(), color=color, alpha=0.7, lw=0)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    if report.job.spec.task is Task.BINARY:
        counted = report.job.spec.objective.positive_class
        if counted is None and reason_of(report.answers) is None:
            counted = _class_name((present(report.answers)["classes"] or [])[1])
        of = "one class" if counted is None else f"class {shortened(counted, 18)}"
        axes.set_xlabel(printable(f"probability of {of}"))
        axes.set_ylabel("share of rows of the class")
    else:
        axes.set_xlabel("probability of the answered class")
        axes.set_ylabel("share of right answers")
    axes.legend(loc="upper left")
    return f"{served['rows']:,} test rows"


def _no_reliability(report: JobReport) -> str | None:
    if (reason := reason_of(report.version)) is not None:
        return reason
    found = present(report.version).calibration
    if found is None:
        return "The version was saved without it."
    return None if found.get("test") else "There are no answers for test rows."


def _class_name(label: ClassLabel) -> str:
    """Return a class as JSON spells it."""
    return str(label).lower() if isinstance(label, bool) else str(label)


def _class_answers(answers: Document) -> tuple[Array, Array]:
    """Return class numbers (rows,) and probabilities (rows, classes), 0 if not finite."""
    numbers: dict[Any, int] = {label: place for place, label in enumerate(answers["classes"] or [])}
    truth = np.array([numbers[label] for label in answers["truth"]])
    given = np.array(answers["probabilities"], dtype=np.float64)
    return truth, np.nan_to_num(given)


def _rows_text(answers: Document) -> str:
    """Say how many test rows a figure shows."""
    kept = len(answers["truth"])
    of = f" of {answers['rows']:,}" if kept < answers["rows"] else ""
    return f"{kept:,}{of} test rows"


def _name_classes(axes: Axes, names: list[str]) -> None:
    places = np.arange(len(names))
    if len(names) > _NAMED_CLASSES:
        places = np.unique(np.linspace(0, len(names) - 1, 10).astype(np.int64))
    shown = [names[place] for place in places]
    slanted = max(map(len, shown)) > 4 and len(shown) > 3
    axes.set_xticks(
        places, shown, rotation=35 if slanted else 0, ha="right" if slanted else "center"
    )
    axes.set_yticks(places, shown)


def _count_cells(axes: Axes, counts: Array, shares: Array) -> None:
    size = 11 if len(counts) <= _FEW_CLASSES else 9 if len(counts) <= 12 else 7
    for (row, column), count in np.ndenumerate(counts):
        if count or len(counts) <= _FEW_CLASSES:
            color = "white" if shares[row, column] > 0.55 else INK
            text = number(float(count)) if count < 10_000 else f"{count:.0e}"
            axes.text(column, row, text, ha="center", va="center", color=color, fontsize=size)


def _no_prediction(report: JobReport) -> str | None:
    if (reason := reason_of(report.answers)) is not None:
        return reason
    finite = any(value is not None for value in present(report.answers)["predictions"] or [])
    return None if finite else "No prediction is finite."


def _no_roc(report: JobReport) -> str | None:
    if (reason := reason_of(report.answers)) is not None:
        return reason
    return None if _roc_curves(present(report.answers)) else "The test rows hold one class only."


PREDICTED = FigureKind(
    title="Predicted against true",
    draw=_draw_predicted,
    missing=_no_prediction,
    height=6,
)
CONFUSION = FigureKind(
    title="Confusion matrix",
    draw=_draw_confusion,
    missing=lambda report: reason_of(report.answers),
    height=6.5,
)
ROC = FigureKind(
    title="ROC curve",
    draw=_draw_roc,
    missing=_no_roc,
    height=6.5,
)
RELIABILITY = FigureKind(
    title="Reliability of probabilities",
    draw=_draw_reliability,
    missing=_no_reliability,
    height=6.5,
)
