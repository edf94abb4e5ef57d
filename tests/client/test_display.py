"""Live progress: lines of text, a bar on a terminal, an output of a notebook that is replaced."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from luthier.client.display import Lines, Notebook, Silent, Terminal, display_for
from luthier.client.records import progress_line


def job(completed: int, state: str = "running", **more: Any) -> dict[str, Any]:
    progress = {"completed": completed, "stopped": 0, "failed": 0, "total": 4, "eta_seconds": 7.2}
    best = {"score": 1.5, "number": 1} if completed else None
    request = {"objective": {"metric": "mae"}}
    known = {"id": "job_a", "model": "flats", "state": state, "version": None, "error": None}
    return known | {"progress": progress, "best_trial": best, "request": request} | more


class Output:
    """What a notebook shows in one place."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def display(self, content: Any, display_id: bool) -> "Output":
        assert display_id
        self.update(content)
        return self

    def update(self, content: Any) -> None:
        self.shown.append(content.text)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Output:
    """The part of IPython that is used, which is no dependency of the tests."""
    output = Output()
    python, display = ModuleType("IPython"), ModuleType("IPython.display")
    python.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    display.HTML = lambda text: SimpleNamespace(text=text)  # type: ignore[attr-defined]
    display.display = output.display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", python)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return output


def test_a_line_says_what_people_ask() -> None:
    assert progress_line(job(1)) == "running · 1/4 trials · best mae 1.5 · 7 s left"
    assert progress_line(job(4, "failed", error="no rows")).endswith("best mae 1.5 · no rows")


def test_lines_are_written_when_something_has_changed(capsys: pytest.CaptureFixture[str]) -> None:
    with display_for(True) as display:
        for found in (job(0), job(0), job(1), job(1)):
            display.show(found)
    assert isinstance(display, Lines)
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_nobody_is_disturbed_unasked() -> None:
    assert type(display_for(None)) is Silent
    assert type(display_for(False)) is Silent


def test_a_notebook_has_one_output_that_is_replaced(notebook: Output) -> None:
    with display_for(None) as display:
        display.show(job(1))
        display.show(job(2))
    assert isinstance(display, Notebook)
    assert [text.count('value="') for text in notebook.shown] == [1, 1]
    assert 'value="2" max="4"' in notebook.shown[-1]


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with display_for(None) as display:
        display.show(job(2))
        assert isinstance(display, Terminal)
