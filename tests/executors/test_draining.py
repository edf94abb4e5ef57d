"""What becomes of trials that still run when their search has ended."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from models.executors.local import LocalExecutor
from models.jobs.worker.context import DrainingTasks
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
    monkeypatch.setattr("models.jobs.worker.context.PATIENCE", PATIENCE)
    draining, forgotten = DrainingTasks(executor), list[str]()
    process = executor.submit(tasks.process_id, None, None).result(PATIENCE)
    task = executor.submit(tasks.tell_until_stopped, None, None)
    draining.add("job", task, lambda: forgotten.append("job"))
    assert len(draining) == 1
    task.result(PATIENCE)
    assert forgotten == []
    draining.check()
    assert forgotten == ["job"]
    assert len(draining) == 0
    assert executor.submit(tasks.process_id, None, None).result(PATIENCE) == process


def test_one_that_does_not_listen_is_ended(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.jobs.worker.context.PATIENCE", 0.01)
    draining, forgotten = DrainingTasks(executor), list[str]()
    task = executor.submit(tasks.announce_and_wait, str(tmp_path), None)
    announced = tmp_path / "pid"
    wait_until(announced.exists)
    pid = int(announced.read_text())
    draining.add("job", task, lambda: forgotten.append("job"))

    def is_over() -> bool:
        draining.check()
        return len(draining) == 0

    wait_until(is_over)
    assert task.cancelled()
    assert forgotten == ["job"]
    assert executor.submit(tasks.process_id, None, None).result(PATIENCE) != pid != os.getpid()


def test_those_of_one_job_can_be_ended_at_once(executor: LocalExecutor, tmp_path: Path) -> None:
    draining, forgotten = DrainingTasks(executor), list[str]()
    for job in ("first", "second"):
        task = executor.submit(tasks.announce_and_wait, str(tmp_path), None)
        draining.add(job, task, partial(forgotten.append, job))
    draining.kill("first")
    assert forgotten == ["first"]
    assert len(draining.futures) == 1
    draining.kill()
    assert forgotten == ["first", "second"]
