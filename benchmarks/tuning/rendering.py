"""From figures to tables, for a terminal or for a page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from benchmarks.tuning.contestants.table import CONTESTANTS
from benchmarks.tuning.target import BAR, STRATEGIES
from benchmarks.tuning.workloads import KERAS_TUNER, SERVICE, TRAINER, WORKLOADS, Bar

Document = dict[str, Any]
_NONE = "—"


@dataclass(frozen=True)
class Table:
    """Cells of text; the first column is aligned to the left."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """As Markdown has it."""
        rules = ["---", *["---:"] * (len(self.headings) - 1)]
        return "\n".join(
            "| " + " | ".join(row) + " |" for row in (self.headings, rules, *self.rows)
        )


def page(document: Document) -> str:
    """Everything about a measurement as Markdown: the table, bars, notes."""
    parts = [summary(document).markdown(), bars(document).markdown(), *notes(document)]
    return "\n\n".join(parts) + "\n"


def show(text: str) -> None:
    """Print Markdown to a terminal."""
    console = Console()
    console.print(Markdown(text), width=max(console.width, 150))


def summary(document: Document) -> Table:
    """One row a workload: seconds a trial, and how many times the trainer's that is."""
    shown = [name for name in CONTESTANTS if _appears(name, document)]
    rows = [
        [f"**{name}** {found['title']}", *(_cell(found, contestant) for contestant in shown)]
        for name, found in document["workloads"].items()
    ]
    for strategy, found in document.get("target", {}).get("strategies", {}).items():
        cells = {SERVICE: _search(found["luthier"]), KERAS_TUNER: _search(found[KERAS_TUNER])}
        title = f"**E** {document['target']['title']}, {strategy}"
        rows.append([title, *(cells.get(name, _NONE) for name in shown)])
    return Table(["seconds a trial", *(CONTESTANTS[name].title for name in shown)], rows)


def bars(document: Document) -> Table:
    """What was asked for, and what came of it."""
    rows = []
    for name, found in document["workloads"].items():
        for bar in WORKLOADS[name].bars:
            ratio = times(found, bar.contestant, bar.baseline)
            rows.append([name, *_versus(bar), *_verdict(ratio, bar.times, bar.is_aim)])
        if all(bar.contestant != SERVICE for bar in WORKLOADS[name].bars):
            baseline = WORKLOADS[name].bars[0].baseline
            ratio = times(found, SERVICE, baseline)
            rows.append([name, *_versus(Bar(SERVICE, baseline, 0)), _NONE, *_verdict(ratio, 0)[1:]])
    for strategy in STRATEGIES:
        found = document.get("target", {}).get("strategies", {}).get(strategy)
        if found:
            ours, theirs = (found[key].get("median") for key in ("luthier", KERAS_TUNER))
            ratio = theirs / ours if ours and theirs else None
            sides = [CONTESTANTS[SERVICE].title, "Keras Tuner"]
            rows.append([f"E, {strategy}", *sides, *_verdict(ratio, BAR)])
    return Table(["workload", "faster", "than", "by", "measured", ""], rows)


def times(workload: Document, contestant: str, baseline: str) -> float | None:
    """How many times faster a contestant is; None where one of the two has no figure."""
    ours, theirs = (_seconds(workload, name) for name in (contestant, baseline))
    return theirs / ours if ours and theirs else None


def notes(document: Document) -> Iterable[str]:
    """How the cores were used, how many trials were trained, on what, by which command."""
    if document["options"].get("quick"):
        yield "**A quick run, to see that everything works: its figures mean nothing.**"
    for name, found in document["workloads"].items():
        lines = [
            f"{CONTESTANTS[contestant].title}: {_note(figures)}"
            for contestant, figures in found["contestants"].items()
        ]
        yield f"{name}: " + "; ".join(lines) + "."
    if "target" in document:
        yield _target_note(document["target"])
    rounds, note = document["options"]["rounds"], machine_note(document)
    yield f"Median of {rounds} alternating rounds. {note}"


def machine_note(document: Document) -> str:
    """On what, when and by which command."""
    machine = document["machine"]
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, load"
        f" {machine['load']} at the start; Python {machine['python']}, {libraries};"
        f" {document['date'][:10]}, revision {document['revision']}; `{document['command']}`."
    )


def _appears(name: str, document: Document) -> bool:
    return any(name in found["contestants"] for found in document["workloads"].values()) or (
        "target" in document and name in (SERVICE, KERAS_TUNER)
    )


def _seconds(workload: Document, contestant: str) -> float | None:
    figures = workload["contestants"].get(contestant, {})
    return figures["seconds"]["median"] if "seconds" in figures else None


def _cell(workload: Document, contestant: str) -> str:
    figures = workload["contestants"].get(contestant)
    if figures is None:
        return _NONE
    if "missing" in figures:
        return "not installed"
    if "error" in figures:
        return "failed"
    seconds, fast = figures["seconds"]["median"], _seconds(workload, TRAINER)
    beside = "" if contestant == TRAINER or not fast else f" ({seconds / fast:.3g}×)"
    return f"{seconds:.3g}{beside}"


def _search(found: Document) -> str:
    if "missing" in found:
        return "not installed"
    if found["median"] is None:
        return f"> {max(search['seconds'] for search in found['searches']):.3g} s"
    return f"{found['median']:.3g} s"


def _versus(bar: Bar) -> tuple[str, str]:
    return CONTESTANTS[bar.contestant].title, CONTESTANTS[bar.baseline].title


def _verdict(ratio: float | None, asked: float, is_aim: bool = False) -> tuple[str, str, str]:
    wanted = f"{asked:g}×" + (" (aim)" if is_aim else "")
    if ratio is None:
        return wanted, _NONE, "not measured"
    if not asked:
        return wanted, f"{ratio:.3g}×", "no bar"
    return wanted, f"{ratio:.3g}×", "met" if ratio >= asked else "**missed**"


def _note(figures: Document) -> str:
    if "missing" in figures:
        return "not installed"
    if "error" in figures:
        return "failed"
    rounds = figures["seconds"]["rounds"]
    text = f"{figures['trials']} trials, {figures['way']}, {min(rounds):.3g}–{max(rounds):.3g} s"
    others = {label: s for label, s in figures["first_round"].items() if label != figures["way"]}
    return text + "".join(f" ({label}: {seconds:.3g} s)" for label, seconds in others.items())


def _target_note(target: Document) -> str:
    reached = "; ".join(
        f"{strategy}, {name.replace('_', ' ')}: {_reached(found)}"
        for strategy, sides in target["strategies"].items()
        for name, found in sides.items()
    )
    return (
        f"E: the target is a mean squared error of {target['target']:.0f}, at most"
        f" {target['max_trials']} trials a search; reached: {reached}."
    )


def _reached(found: Document) -> str:
    if "missing" in found:
        return "not installed"
    searches = found["searches"]
    return f"{sum(search['reached'] for search in searches)} of {len(searches)}"
