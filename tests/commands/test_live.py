"""The live view of a job, and that a terminal gets it."""

import io
import os
import pty
import sys
from typing import Any

from rich.console import Console

from luthier.client import Job
from luthier.commands.live import view
from tests.client.test_display import job
from tests.conftest import Service
from tests.processes import environment


def trial(number: int, state: str, score: float | None, **values: Any) -> dict[str, Any]:
    known = {"number": number, "state": state, "score": score, "seconds": score and 1.25}
    return {**known, "values": {"optimizer": "adam", **values}}


def drawn(found: dict[str, Any], trials: list[dict[str, Any]]) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    console.print(view(found, trials))
    file = console.file
    assert isinstance(file, io.StringIO)
    return [line.strip() for line in file.getvalue().splitlines() if line.strip()]


def test_trials_are_rows_with_bars_and_what_they_differ_in() -> None:
    trials = [
        trial(2, "completed", 1.0, units=8),
        trial(1, "completed", 2.0, units=16),
        trial(3, "running", None, units=32),
    ]
    title, progress, line, header, _, *rows = drawn(job(2), trials)
    assert title == "flats  job_a"
    assert (progress.count("━"), progress.count("─")) == (30, 30)
    assert line.startswith("running · 2/4 trials")
    assert header.split() == ["trial", "state", "score", "time", "values"]
    assert [row.split()[0] for row in rows] == ["2", "1", "3"]
    assert [row.count("━") for row in rows] == [10, 20, 0]
    assert rows[0].endswith("1.2 s   units=8")
    assert "adam" not in "".join(rows)


def test_a_trial_stays_on_one_line_however_narrow_the_terminal_is() -> None:
    many = {f"hyperparameter_{n}": n for n in range(20)}
    lines = drawn(job(1), [trial(1, "completed", 1.0, **many)])
    assert len(lines) == 6
    assert lines[-1].startswith("1   completed")
    assert lines[-1].endswith("…")


def test_nothing_but_the_progress_is_drawn_before_the_first_trial() -> None:
    assert len(drawn(job(0), [])) == 3


def test_a_terminal_gets_the_live_table(service: Service, trained: Job) -> None:
    command = [sys.executable, "-m", "luthier", "job", trained.id, "--watch"]
    variables = environment() | {"LUTHIER_URL": service.url, "TERM": "xterm", "COLUMNS": "100"}
    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover
        os.execvpe(command[0], command, variables)
    text = b""
    while piece := _read(terminal):
        text += piece
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert "succeeded · 2/2 trials" in text.decode()
    assert "━━━━━━━━━━━━━━━━━━━━" in text.decode()
    assert "conclusion" in text.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # the child has closed it
        return b""
