"""Figures of what a version's answers depend on: raw columns, not hyperparameters."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from models.data.columns import ColumnType
from models.registry.documents import Document
from models.reports.figures.drawing import BLUE, CYCLE, GREY, INK, FigureKind, printable
from models.reports.figures.labels import metric_label, number, shortened
from models.reports.job_report import JobReport, present, reason_of
from models.trials.spec import METRICS

MAX_BARS = 15  # columns shown
_MAX_CURVES = len(CYCLE)  # classes shown
_GAP = 0.07  # between panels, as a share of the width
_NAMED = 4  # moments with a label
_TEXT = 11  # characters of a value


def _draw_importance(axes: Axes, report: JobReport) -> str:
    """Draw bars of what the metric loses, with 95 % intervals; grey ones may be 0."""
    found, spec = present(report.version).column_importance or {}, report.job.spec
    items = found["items"][:MAX_BARS][::-1]
    for place, item in enumerate(items):
        interval, value = item.get("interval"), item["importance"]
        is_sure = interval is None or interval[0] > 0
        axes.barh(place, value, color=BLUE if is_sure else GREY, height=0.62)
        if interval is not None:
            axes.plot(interval, [place, place], color=INK, lw=1.3, marker="|", ms=7)
    axes.set_yticks(range(len(items)), [printable(shortened(item["column"])) for item in items])
    axes.axvline(0, color=INK, lw=0.8)
    axes.grid(axis="y", visible=False)
    label = metric_label(
        found["metric"], spec.task, shortened(spec.target), spec.objective.positive_class
    )
    change = "rise" if METRICS[spec.task][found["metric"]] == "min" else "drop"
    text = f"{change} of the {label} when the cells are shuffled"
    axes.set_xlabel(printable(text) + "\nlines: 95 % intervals; grey: the interval contains 0")
    of = "" if len(items) == len(found["items"]) else f"{len(items)} of {len(found['items'])}, "
    return f"{of}{found['rows']:,} held-out rows"


def _draw_dependence(axes: Axes, report: JobReport) -> str | None:
    """Draw the mean answer for values of the most important columns, a panel each."""
    version = present(report.version)
    panels = version.partial_dependence or []
    axes.set_axis_off()
    width = (1 - _GAP * (len(panels) - 1)) / len(panels)
    for place, panel in enumerate(panels):
        inner = axes.inset_axes((place * (width + _GAP), 0.0, width, 1.0))
        _draw_panel(inner, panel)
        inner.set_ylim(_span(panels))
        if place == 0:
            inner.set_ylabel(_answer_label(panel, report))
    return f"mean answers of {panels[0]['rows']:,} held-out rows" if "rows" in panels[0] else None


def _span(panels: list[Document]) -> tuple[float, float]:
    """Return the ends of the axis that all panels share, so that steep curves matter most."""
    if panels[0].get("probabilities") is not None:
        return -0.03, 1.03
    known = [value for panel in panels for value in panel["predictions"]]
    margin = 0.06 * (max(known) - min(known)) or 0.05 * abs(known[0]) or 0.5
    return min(known) - margin, max(known) + margin


def _draw_panel(axes: Axes, panel: Document) -> None:
    kind, values = ColumnType(panel["type"]), panel["values"]
    is_number = kind is ColumnType.NUMBER
    places = values if is_number else list(range(len(values)))
    curves = _curves(panel)
    style: Any = {"marker": "o", "ms": 5, "lw": 1.8 if kind is not ColumnType.CATEGORY else 0}
    for color, (label, curve) in zip(CYCLE, curves[:_MAX_CURVES], strict=False):
        axes.plot(places, curve, color=color, label=printable(label), **style)
    if is_number:
        axes.locator_params(axis="x", nbins=5)  # more names would run into each other
    else:
        _name_values(axes, kind, values)
    axes.set_xlabel(printable(shortened(panel["column"])))
    if len(curves) > 1:
        axes.legend(loc="best", fontsize=8)


def _curves(panel: Document) -> list[tuple[str, list[float]]]:
    """Return name and values of each curve; of many classes, those that change most."""
    if panel.get("probabilities") is None:
        return [("", panel["predictions"])]
    named = [
        (shortened(str(label), 14), curve)
        for label, curve in zip(panel["classes"], panel["probabilities"], strict=True)
    ]
    return sorted(named, key=lambda item: -float(np.ptp(item[1])))


def _name_values(axes: Axes, kind: ColumnType, values: list[Any]) -> None:
    places = np.arange(len(values))
    if kind is ColumnType.DATETIME:
        ends = np.linspace(0, len(values) - 1, min(_NAMED, len(values)))
        places = np.unique(ends.astype(np.int64))
    names = [_value_text(kind, values[place]) for place in places]
    slanted = len(names) > 3 or max(map(len, names)) > 8
    axes.set_xticks(
        places, names, rotation=30 if slanted else 0, ha="right" if slanted else "center"
    )
    axes.margins(x=0.1)


def _value_text(kind: ColumnType, value: Any) -> str:
    if kind is ColumnType.DATETIME:
        return str(value)[:10]
    if isinstance(value, bool):
        return str(value).lower()
    return printable(shortened(value, _TEXT) if isinstance(value, str) else number(float(value)))


def _answer_label(panel: Document, report: JobReport) -> str:
    target = shortened(report.job.spec.target)
    if panel.get("probabilities") is None:
        return printable(f"predicted {target}")
    classes = panel["classes"]
    of = f" of {shortened(str(classes[0]), 14)}" if len(classes) == 1 else ""
    return printable(f"probability{of}")


def _no_importance(report: JobReport) -> str | None:
    if (reason := reason_of(report.version)) is not None:
        return reason
    version = present(report.version)
    found = version.column_importance
    if found is None:
        return f"Version {version.version} was saved without the importance of its columns."
    return None if found["items"] else found.get("note") or "No column could be measured."


def _no_dependence(report: JobReport) -> str | None:
    if (reason := _no_importance(report)) is not None:
        return reason
    few = "No column has values to compare."
    return None if present(report.version).partial_dependence else few


COLUMN_IMPORTANCE = FigureKind(
    title="Importance of columns",
    draw=_draw_importance,
    missing=_no_importance,
    height=4.8,
)
DEPENDENCE = FigureKind(
    title="Partial dependence",
    draw=_draw_dependence,
    missing=_no_dependence,
    height=4.2,
)
