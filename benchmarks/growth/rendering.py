"""From figures of growth to tables."""

from collections.abc import Iterable
from typing import Any

from benchmarks.growth import measuring
from benchmarks.tuning.rendering import Table, machine_note

Document = dict[str, Any]
FLAT_WITHIN = 0.1  # of the memory after the first mark


def page(document: Document) -> str:
    """Every part that was measured, as Markdown."""
    parts = [text for name, write in _PARTS.items() if name in document for text in write(document)]
    if document["options"]["quick"]:
        parts.append("**A quick run, to see that everything works: its figures mean nothing.**")
    return "\n\n".join([*parts, machine_note(document)]) + "\n"


def _trials(document: Document) -> Iterable[str]:
    yield "Workload A through `POST /tune`, whole time of the job:"
    yield _searches(document["trials"]).markdown()


def _parallelism(document: Document) -> Iterable[str]:
    yield "The same search with so many trials at once:"
    yield _searches(document["parallelism"]).markdown()


def _searches(found: list[Document]) -> Table:
    rows = [
        [
            str(one["trials"]),
            str(one["parallelism"]),
            f"{one['seconds']:.3g} s",
            f"{one['seconds_a_trial']:.3g} s",
            f"{one['seconds'] - one['search_seconds']:.3g} s",
            f"{one['service_share']:.0%}",
        ]
        for one in found
    ]
    headings = ["trials", "at once", "whole", "a trial", "before and after", "not training"]
    return Table(headings, rows)


def _rows(document: Document) -> Iterable[str]:
    rows = [
        [
            f"{one['rows']:,}",
            f"{one['trainer']:.3g} s",
            f"{one['rows'] * measuring.EPOCHS / one['trainer']:,.0f}",
            f"{one['trainer'] / one['floor']:.2f}×",
            "—" if one["service"] is None else f"{one['service']:.3g} s",
        ]
        for one in document["rows"]
    ]
    layers = " × ".join(map(str, measuring.LAYERS))
    yield (
        f"One trial: layers {layers}, {measuring.FEATURES} columns,"
        f" {measuring.EPOCHS} epochs, batch {measuring.BATCH}:"
    )
    headings = ["rows", "trainer", "rows a second", "of the floor", "job of one trial"]
    yield Table(headings, rows).markdown()


def _memory(document: Document) -> Iterable[str]:
    found = document["memory"]
    first, last = found["luthier"][0]["trial_process"], found["luthier"][-1]["trial_process"]
    rows = [
        [
            f"Luthier, {one['trials']:,} trials",
            f"{one['trial_process']:.0f}",
            f"{one['worker']:.0f}",
        ]
        for one in found["luthier"]
    ]
    rows += [
        [f"Keras, {one['trials']:,} fits", f"{one['process']:.0f}", "—"] for one in found["keras"]
    ]
    yield "Resident memory in MiB, networks of workload A, one epoch each:"
    yield Table(["after", "training process", "worker"], rows).markdown()
    verdict = "met" if last <= first * (1 + FLAT_WITHIN) else "**missed**"
    yield f"Flat within {FLAT_WITHIN:.0%}: {last / first - 1:+.1%} from first to last, {verdict}."


_PARTS = {"trials": _trials, "parallelism": _parallelism, "rows": _rows, "memory": _memory}
