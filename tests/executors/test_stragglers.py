"""What becomes of trials that still run when their search has ended."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from models.executors.local import LocalExecutor
from models.jobs.stragglers import Stragglers
from tests.executors import tasks
from tests.waiting import PATIENCE, wait_until


@pytest.fixture(scope="module")
def executor() -> Iterator[LocalExecutor]:
    executor = LocalExecutor(1, 2**30)
    yield executor
    executor.close()


def test_one_that_listens_ends_by_itself_and_its_process_lives_on(
    executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.jobs.stragglers.PATIENCE", PATIENCE)
    stragglers, forgotten = Stragglers(executor), []
    process = executor.submit(tasks.process_id, None, None).result(PATIENCE)
    task = executor.submit(tasks.tell_until_stopped, None, None)
    stragglers.add("job", task, lambda: forgotten.append("job"))
    assert len(stragglers) == 1
    task.result(PATIENCE)
    assert forgotten == []
    stragglers.look()
    assert forgotten == ["job"]
    assert len(stragglers) == 0
    assert executor.submit(tasks.process_id, None, None).result(PATIENCE) == process


def test_one_that_does_not_listen_is_ended(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.jobs.stragglers.PATIENCE", 0.01)
    stragglers, forgotten = Stragglers(executor), []
    task = executor.submit(tasks.announce_and_wait, str(tmp_path), None)
    wait_until((tmp_path / "pid").exists)
    pid = int((tmp_path / "pid").read_text())
    stragglers.add("job", task, lambda: forgotten.append("job"))

    def is_ended() -> bool:
        stragglers.look()
        return not len(stragglers)

    wait_until(is_ended)
    assert task.cancelled()
    assert forgotten == ["job"]
    assert executor.submit(tasks.process_id, None, None).result(PATIENCE) != pid != os.getpid()


def test_those_of_one_job_can_be_ended_at_once(executor: LocalExecutor, tmp_path: Path) -> None:
    stragglers = Stragglers(executor)
    forgotten: list[str] = []
    for job in ("first", "second"):
        task = executor.submit(tasks.announce_and_wait, str(tmp_path), None)
        stragglers.add(job, task, partial(forgotten.append, job))
    stragglers.end("first")
    assert forgotten == ["first"]
    assert len(stragglers.futures) == 1
    stragglers.end()
    assert forgotten == ["first", "second"]
