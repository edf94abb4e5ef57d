"""Answers of the service as mappings and lists that show themselves in a notebook."""

import json
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

FINAL_STATES = frozenset({"succeeded", "failed", "cancelled"})
_TRIAL_COLUMNS = ("state", "score", "seconds", "epochs_trained", "trainer")


class Dataset(dict[str, Any]):
    """A stored table: the answer of the service, with its main fields as properties."""

    @property
    def id(self) -> str:
        """The digest of the content."""
        return str(self["id"])

    @property
    def rows(self) -> int:
        """The number of rows."""
        return int(self["rows"])

    @property
    def types(self) -> dict[str, str]:
        """The type of each column."""
        return {column["name"]: column["type"] for column in self["columns"]}

    def _repr_html_(self) -> str:
        caption = f"Dataset {self.id}: {self.rows:,} rows"
        rows = ([column["name"], column["type"], column["missing"]] for column in self["columns"])
        return html_table(("column", "type", "missing"), rows, caption)


class Trials(list[dict[str, Any]]):
    """Trials of a job."""

    def to_frame(self) -> "pd.DataFrame":
        """Return a row a trial, by number: state, score, seconds, and a column for each value."""
        import pandas as pd

        rows = [{name: trial.get(name) for name in _TRIAL_COLUMNS} for trial in self]
        for row, trial in zip(rows, self, strict=True):
            row |= trial["values"]
        return pd.DataFrame(rows, index=pd.Index([t["number"] for t in self], name="trial"))

    def _repr_html_(self) -> str:
        rows = ([t["number"], t["state"], t["score"], json.dumps(t["values"])] for t in self)
        return html_table(("trial", "state", "score", "values"), rows)


def objective(job: Mapping[str, Any]) -> str:
    """Return the metric that ranks the trials of a job."""
    found = (job.get("request") or {}).get("objective")
    if isinstance(found, list):
        found = found[0] if found else None
    if isinstance(found, Mapping):
        found = found.get("metric")
    return str(found or "score")


def ended_trials(job: Mapping[str, Any]) -> int:
    """Return the number of trials that have ended."""
    progress = job["progress"]
    return sum(progress.get(name) or 0 for name in ("completed", "stopped", "failed"))


def progress_line(job: Mapping[str, Any]) -> str:
    """Return the state of a job in one line."""
    progress, best = job["progress"], job["best_trial"]
    parts = [job["state"], f"{ended_trials(job)}/{progress['total']} trials"]
    if best is not None and best["score"] is not None:
        parts.append(f"best {objective(job)} {best['score']:.5g}")
    if progress.get("eta_seconds") is not None and job["state"] not in FINAL_STATES:
        parts.append(f"{progress['eta_seconds']:.0f} s left")
    if job.get("version"):
        parts.append(f"{job['model']} version {job['version']}")
    if job.get("error"):
        parts.append(" ".join(str(job["error"]).split()))
    return " · ".join(parts)


def job_html(job: Mapping[str, Any]) -> str:
    """Return a job as HTML: its state in one line, and a bar."""
    done, total = ended_trials(job), job["progress"]["total"] or 1
    return (
        f"<div><b>{escape(job['model'])}</b> <code>{escape(job['id'])}</code><br>"
        f'<progress value="{done}" max="{total}"></progress> {escape(progress_line(job))}</div>'
    )


def html_table(
    headers: Iterable[str], rows: Iterable[Iterable[Any]], caption: str | None = None
) -> str:
    """Return a table as HTML, every cell escaped."""
    return "".join(_html_lines(headers, rows, caption))


def _html_lines(
    headers: Iterable[str], rows: Iterable[Iterable[Any]], caption: str | None
) -> Iterator[str]:
    yield "<table>"
    if caption:
        yield f"<caption>{escape(caption)}</caption>"
    yield "<tr>" + "".join(f"<th>{escape(name)}</th>" for name in headers) + "</tr>"
    for row in rows:
        cells = ("" if cell is None else escape(str(cell)) for cell in row)
        yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
    yield "</table>"
