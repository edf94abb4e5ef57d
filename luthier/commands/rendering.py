"""Answers as tables and lines on a terminal, or as plain text in a pipe."""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from luthier.client.records import ended_trials, objective

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_BAR = "━"


@cache
def console() -> "Console":
    """Return the console of standard output, without colours where NO_COLOR is set."""
    from rich.console import Console

    return Console(highlight=False)


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], is_cut: bool = False) -> "Table":
    """Return a table; numbers are aligned to the right, control characters left out.

    `is_cut` keeps each row on one line, and cuts its last cell.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    cells = list(rows)
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", expand=is_cut)
    for place, header in enumerate(headers):
        is_number = cells and all(
            isinstance(row[place], int | float) or row[place] is None for row in cells
        )
        made.add_column(
            header,
            justify="right" if is_number else "left",
            overflow="ellipsis" if is_cut else "fold",
            no_wrap=is_cut,
            ratio=1 if is_cut and place == len(headers) - 1 else None,
        )
    for row in cells:
        made.add_row(*(Text(shown(cell)) for cell in row))
    return made


def show_table(headers: Sequence[str], rows: Iterable[Sequence[Any]], empty: str) -> None:
    """Print a table, drawn on a terminal and plain in a pipe, or one line if it has no rows."""
    cells = list(rows)
    if not cells:
        click.echo(empty)
    elif sys.stdout.isatty():
        console().print(table(headers, cells))
    else:
        _print_plain(headers, cells)


def _print_plain(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print columns with two spaces between; nothing is cut, and no line ends in spaces."""
    texts = [list(headers), *([shown(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for line in texts:
        cells = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def shown(value: Any) -> str:
    """Return a cell: numbers short, None as a dash, no control characters."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.5g}" if abs(value) < 1e5 else f"{value:,.0f}"
    if isinstance(value, int):
        return str(value)
    return _CONTROL.sub(" ", str(value))


def values_text(values: Mapping[str, Any]) -> str:
    """Return the values of a trial in one line."""
    return " ".join(f"{name}={_compact(value)}" for name, value in values.items())


def _compact(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_compact, value))
    return f"{value:.4g}" if isinstance(value, float) else shown(value)


def size(count: float | None) -> str:
    """Return bytes with a unit."""
    if count is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def moment(text: str | None) -> str:
    """Return a time of the API in short, in UTC."""
    if not text:
        return "–"
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M}"


def bar(share: float, width: int) -> str:
    """Return a bar of at most `width` characters."""
    return _BAR * max(0, min(width, round(share * width)))


def show_jobs(jobs: Sequence[Mapping[str, Any]]) -> None:
    """Print jobs as a table."""
    rows = [
        [
            job["id"],
            job["state"],
            job["model"],
            f"{ended_trials(job)}/{job['progress']['total']}",
            objective(job),
            (job["best_trial"] or {}).get("score"),
            job["version"],
            moment(job["created"]),
        ]
        for job in jobs
    ]
    headers = ("job", "state", "model", "trials", "objective", "best", "version", "created (UTC)")
    show_table(headers, rows, "There are no jobs.")


def show_job(job: Mapping[str, Any]) -> None:
    """Print what is known of one job."""
    best = job["best_trial"]
    lines: list[tuple[str, Any]] = [
        ("job", job["id"]),
        ("model", job["model"]),
        ("state", job["state"]),
        ("trials", f"{ended_trials(job)} of {job['progress']['total']}"),
        ("seconds", job["seconds"]),
    ]
    if best and best["score"] is not None:
        lines.append((f"best {objective(job)}", f"{shown(best['score'])} (trial {best['number']})"))
        lines.append(("values", values_text(best["values"])))
    for name in ("stop_reason", "waiting_for", "error", "version", "conclusion"):
        if job.get(name) is not None:
            lines.append((name.replace("_", " "), job[name]))
    if (job.get("promotion") or {}).get("reason"):
        lines.append(("promotion", job["promotion"]["reason"]))
    lines += [("warning", found["message"]) for found in job.get("warnings") or []]
    show_lines(lines)


def show_lines(lines: Sequence[tuple[str, Any]]) -> None:
    """Print names and values, one pair a line."""
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        click.echo(f"{name.ljust(width)}  {shown(value)}")


def show_trials(trials: Sequence[Mapping[str, Any]]) -> None:
    """Print trials as a table."""
    rows = [
        [
            trial["number"],
            trial["state"],
            trial["score"],
            trial["seconds"],
            (trial.get("failure") or {}).get("kind") or values_text(trial["values"]),
        ]
        for trial in trials
    ]
    show_table(("trial", "state", "score", "seconds", "values"), rows, "There are no trials yet.")
