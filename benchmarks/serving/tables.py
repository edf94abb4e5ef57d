"""The figures of `benchmarks.serving` as Markdown, with the bars that they must meet."""

import os
import platform
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from benchmarks.serving.contestants import BARE, EMPTY, LUTHIER

Key = tuple[str, int, int]  # contestant, rows a request, connections


class Cell(NamedTuple):
    """One measurement."""

    rate: float  # requests a second
    p50: float  # seconds
    p99: float
    cpu: float  # seconds of all processes of the server, a request


@dataclass
class Figures:
    """All that was measured."""

    cells: dict[Key, Cell] = field(default_factory=dict)
    first_answer: dict[str, float] = field(default_factory=dict)  # seconds
    memory: dict[str, int] = field(default_factory=dict)  # resident bytes of the largest process
    left_out: dict[str, str] = field(default_factory=dict)  # why
    rows_of_the_run: float = 0.0  # a second, without a server


class Bar(NamedTuple):
    """A ratio or amount that must be reached."""

    what: str
    measured: str
    bar: str
    is_met: bool


def report(figures: Figures, arguments: str) -> str:
    """Return all tables."""
    parts = [
        _throughput(figures),
        _first_answers(figures),
        _table(
            ("bar", "measured", "wanted", ""),
            [
                (b.what, b.measured, b.bar, "met" if b.is_met else "**missed**")
                for b in bars(figures)
            ],
        ),
    ]
    parts += [f"Left out: {name}: {why}" for name, why in figures.left_out.items()]
    load = os.getloadavg()[0]
    parts.append(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, load"
        f" {load:.1f} at the end, {date.today()}; `python -m benchmarks.serving {arguments}`."
    )
    return "\n\n".join(parts)


def bars(figures: Figures) -> list[Bar]:
    """Return the bars for which there are figures."""
    found: list[Bar] = []
    cells = figures.cells
    for rows, wanted in ((1, 0.85), (1000, 0.95)):
        own, bare = cells.get((LUTHIER, rows, 8)), cells.get((BARE, rows, 8))
        if own and bare:
            ratio = own.rate / bare.rate
            what = f"{rows:,} row{'s' if rows > 1 else ''}, 8 connections ÷ bare Flask"
            found.append(Bar(what, f"{ratio:.2f}", f"≥ {wanted}", ratio >= wanted))
    for (name, rows, connections), cell in cells.items():
        is_peer = name not in (BARE, EMPTY) and not name.startswith(LUTHIER)
        if is_peer and (rows, connections) == (1, 8) and (own := cells.get((LUTHIER, 1, 8))):
            ratio = own.rate / cell.rate
            found.append(Bar(f"1 row ÷ {name}", f"{ratio:.2f}", "> 1", ratio > 1))
        if name.startswith("Luthier, ") and (rows, connections) == (1000, 8):
            ratio = cell.rate * rows / figures.rows_of_the_run
            what = f"{name}: rows ÷ those of the graph alone"
            found.append(Bar(what, f"{ratio:.2f}", "≥ 0.8", ratio >= 0.8))
    if LUTHIER in figures.first_answer:
        seconds, size = figures.first_answer[LUTHIER], figures.memory[LUTHIER] / 1e6
        found.append(Bar("first answer", f"{seconds:.2f} s", "≤ 1.5 s", seconds <= 1.5))
        found.append(Bar("memory", f"{size:.0f} MB", "< 150 MB", size < 150))
    return found


def _throughput(figures: Figures) -> str:
    header = (
        "rows",
        "connections",
        "server",
        "requests/s",
        "rows/s",
        "÷ bare",
        "p50",
        "p99",
        "CPU",
    )
    lines = []
    for (name, rows, connections), cell in sorted(figures.cells.items(), key=lambda c: c[0][1:]):
        bare = figures.cells.get((BARE, rows, connections))
        line = (
            f"{rows:,}",
            f"{connections}",
            name,
            f"{cell.rate:,.0f}",
            f"{cell.rate * rows:,.0f}",
        )
        ratio = f"{cell.rate / bare.rate:.2f}" if bare else "—"
        times = (f"{1e3 * cell.p50:.2f} ms", f"{1e3 * cell.p99:.2f} ms", f"{1e3 * cell.cpu:.2f} ms")
        lines.append((*line, ratio, *times))
    return _table(header, lines)


def _first_answers(figures: Figures) -> str:
    lines = [
        (name, f"{seconds:.2f} s", f"{figures.memory[name] / 1e6:,.0f} MB")
        for name, seconds in figures.first_answer.items()
    ]
    return _table(("server", "first answer after", "memory of the largest process"), lines)


def _table(header: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    marks = ["---"] * len(header)
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, marks, *lines))
