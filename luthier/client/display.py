"""Live progress of a job: in a notebook, on a terminal, or as lines of text."""

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from luthier.client.records import ended_trials, job_html, progress_line


class Display(Protocol):
    """Something that shows a job again and again."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def show(self, job: Mapping[str, Any]) -> None:
        """Show the present state of the job."""


def display_for(wanted: bool | None) -> Display:
    """Return a display; with None it is silent unless somebody watches a notebook or a terminal."""
    if wanted is False:
        return Silent()
    if _in_notebook():
        return Notebook()
    if sys.stderr.isatty():
        return Terminal() if _has_rich() else Lines()
    return Lines() if wanted else Silent()


class Silent:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, job: Mapping[str, Any]) -> None:
        """Do nothing."""


class Lines(Silent):
    """Writes a line to standard error whenever the progress has changed."""

    def __init__(self) -> None:
        self._last: tuple[Any, ...] | None = None

    def show(self, job: Mapping[str, Any]) -> None:
        """Write a line, unless nothing but the time left has changed."""
        best = job["best_trial"]
        now = (job["state"], ended_trials(job), best and best["score"], job.get("version"))
        if now != self._last:
            print(progress_line(job), file=sys.stderr, flush=True)
        self._last = now


class Notebook(Silent):
    """Replaces one output of a notebook's cell."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, job: Mapping[str, Any]) -> None:
        """Show the job as HTML in place of what was shown before."""
        from IPython.display import HTML, display

        content = HTML(job_html(job))
        if self._handle is None:
            self._handle = display(content, display_id=True)
        else:
            self._handle.update(content)


class Terminal(Silent):
    """Draws a bar by rich."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (BarColumn(bar_width=30), TextColumn("{task.description}"))
        self._bar = Progress(*columns, console=Console(stderr=True))
        self._task = self._bar.add_task("waiting", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, job: Mapping[str, Any]) -> None:
        """Move the bar."""
        total = job["progress"]["total"]
        self._bar.update(
            self._task,
            total=total,
            completed=ended_trials(job),
            description=progress_line(job),
        )


def _in_notebook() -> bool:
    python = sys.modules.get("IPython")
    shell = python.get_ipython() if python is not None else None
    return getattr(shell, "kernel", None) is not None


def _has_rich() -> bool:
    try:
        import rich  # noqa: F401
    except ImportError:
        return False
    return True
