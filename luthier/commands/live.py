"""A job as it goes on: a live table on a terminal, lines of text elsewhere."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from luthier.client import Client, Job
from luthier.client.display import Lines
from luthier.client.records import ended_trials, progress_line
from luthier.commands.rendering import bar, table, values_text

if TYPE_CHECKING:
    from rich.console import Group

_SHOWN = 8  # trials
_BAR_WIDTH = 20  # characters
_PROGRESS_WIDTH = 60  # characters
_EVERY = 0.5  # seconds


def follow(client: Client, job: str) -> Job:
    """Show a job until it has ended, on standard error, and return it."""
    if not sys.stderr.isatty():
        return _follow_by_lines(client, job)
    from rich.console import Console
    from rich.live import Live

    trials: list[dict[str, Any]] = []
    seen: tuple[Any, ...] = ()
    console = Console(stderr=True, highlight=False)
    with Live(console=console, refresh_per_second=4) as live:
        for found in client.watch(job, _EVERY):
            progress = found["progress"]
            now = (found["state"], ended_trials(found), progress["running"])
            if now != seen:  # the trials are read only when there is something new
                trials = leaders(client, job)
                seen = now
            live.update(view(found, trials))
    return found


def _follow_by_lines(client: Client, job: str) -> Job:
    lines = Lines()
    for found in client.watch(job, _EVERY):
        lines.show(found)
    return found


def leaders(client: Client, job: str) -> list[dict[str, Any]]:
    """Return the best trials, and those that run, as far as there is room."""
    running = client.trials(job, limit=_SHOWN // 2, state="running")
    best = client.trials(job, limit=_SHOWN - len(running), sort="score")
    numbers = {trial["number"] for trial in running}
    scored = [each for each in best if each["score"] is not None and each["number"] not in numbers]
    return scored + list(running)


def view(job: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]) -> "Group":
    """Return a job and its leading trials, ready to be drawn."""
    from rich.console import Group
    from rich.text import Text

    total = job["progress"]["total"] or 1
    title = Text(f"{job['model']}  {job['id']}", style="bold")
    line = Text(progress_line(job))
    done = bar(ended_trials(job) / total, _PROGRESS_WIDTH)
    progress = Text.assemble((done, "green"), ("─" * (_PROGRESS_WIDTH - len(done)), "dim"))
    return Group(title, progress, line, *([_trial_table(trials)] if trials else []))


def _trial_table(trials: Sequence[Mapping[str, Any]]) -> Any:
    scores = [trial["score"] for trial in trials if trial["score"] is not None]
    searched = _searched(trials)
    rows = []
    for trial in trials:
        length = _share(trial["score"], scores)
        values = {name: value for name, value in trial["values"].items() if name in searched}
        rows.append(
            [
                trial["number"],
                trial["state"],
                trial["score"],
                bar(length, _BAR_WIDTH),
                "–" if trial["seconds"] is None else f"{trial['seconds']:.1f} s",
                values_text(values),
            ]
        )
    return table(("trial", "state", "score", "", "time", "values"), rows, is_cut=True)


def _searched(trials: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the hyperparameters in which the trials differ; all of a single trial."""
    first, *others = trials or [{"values": {}}]
    names = {name for trial in trials for name in trial["values"]}
    same = {
        name
        for name in names
        if others
        and all(trial["values"].get(name) == first["values"].get(name) for trial in others)
    }
    return names - same


def _share(score: float | None, scores: Sequence[float]) -> float:
    """Return the length of a score's bar, as a share of the one with the largest amount."""
    largest = max(map(abs, scores), default=0.0)
    return 0.0 if score is None or not largest else abs(score) / largest
