"""A new process makes a version before it is asked to; what goes wrong there must be seen here."""

import logging
from pathlib import Path

import pytest

from models.jobs import rehearsal
from models.settings import Settings


def test_it_makes_a_whole_version(tmp_path: Path) -> None:
    rehearsal._rehearse(str(tmp_path))
    assert len([*tmp_path.glob("**/model.onnx"), *tmp_path.glob("**/*/model.keras")]) == 2


def test_a_process_is_ready_all_the_same_where_it_fails(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    done = []
    monkeypatch.setattr(rehearsal, "prepare_trials", lambda given: lambda: done.append(given))

    def fail(folder: str) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(rehearsal, "_rehearse", fail)
    with caplog.at_level(logging.WARNING):
        rehearsal.prepare_tasks(settings)()
    assert done == [settings]
    assert "no space left" in caplog.text
