"""What every executor must do, over each implementation."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from functools import cache, partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from models.executors.executor import Executor, TaskLost, TaskOutOfMemory, TaskTimedOut
from models.executors.local import LocalExecutor
from models.executors.ray import RayExecutor
from models.executors.slot import SlotOptions
from tests.executors import tasks
from tests.processes import has_ended
from tests.waiting import PATIENCE, wait_until

MEMORY_LIMIT = 300 * 1024**2

Open = Callable[[int], Executor]

IMPLEMENTATIONS: dict[str, Open] = {
    "local": lambda slots: LocalExecutor(slots, MEMORY_LIMIT),
    "forked": lambda slots: LocalExecutor(slots, MEMORY_LIMIT, preload=tasks.__name__),
    "ray": lambda slots: RayExecutor(SlotOptions(MEMORY_LIMIT, MEMORY_LIMIT), limit=slots),
}


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def open_own(request: pytest.FixtureRequest) -> Iterator[Open]:
    """Open an executor that no other test uses."""
    opened: list[Executor] = []
    if request.param == "ray":
        request.getfixturevalue("ray_connection")

    def open_one(slots: int) -> Executor:
        opened.append(IMPLEMENTATIONS[request.param](slots))
        return opened[-1]

    yield open_one
    for executor in opened:
        executor.close()


@pytest.fixture(scope="module")
def open_executor(open_own: Open) -> Open:
    """Return the executor that all tests share which need so many slots: processes cost seconds."""
    return cache(open_own)


@pytest.fixture
def executor(open_executor: Open) -> Executor:
    return open_executor(1)


def pid_in(folder: Path) -> int:
    """Wait until a task has written its process id to `pid`, and return it."""
    file = folder / "pid"
    wait_until(file.exists)
    return int(file.read_text())


def test_a_task_answers_what_its_function_returns(executor: Executor) -> None:
    assert executor.submit(tasks.double, 21, None).result(PATIENCE) == 42


def test_an_exception_of_the_function_passes_through(executor: Executor) -> None:
    with pytest.raises(tasks.Refused, match="not today"):
        executor.submit(tasks.refuse, "not today", None).result(PATIENCE)
    assert executor.submit(tasks.double, 1, None).result(PATIENCE) == 2


def test_a_result_that_cannot_travel_is_an_error(executor: Executor) -> None:
    with pytest.raises(Exception, match="pickle"):
        executor.submit(tasks.unpicklable, None, None).result(PATIENCE)
    assert executor.submit(tasks.double, 1, None).result(PATIENCE) == 2


def test_processes_stay_warm_between_tasks(executor: Executor) -> None:
    seen = [executor.submit(tasks.process_id, None, None).result(PATIENCE) for _ in range(3)]
    assert len(set(seen)) == 1
    calls = [executor.submit(tasks.count_calls, None, None).result(PATIENCE) for _ in range(3)]
    assert calls == [calls[0], calls[0] + 1, calls[0] + 2]


def test_as_many_tasks_run_at_once_as_there_are_slots(open_executor: Open, tmp_path: Path) -> None:
    executor = open_executor(2)
    assert executor.slots == 2
    one, other = str(tmp_path / "one"), str(tmp_path / "other")
    futures = [executor.submit(tasks.meet, places, None) for places in [(one, other), (other, one)]]
    for future in futures:
        future.result(PATIENCE)


def test_a_task_whose_process_dies_is_lost_and_the_pool_goes_on(executor: Executor) -> None:
    with pytest.raises(TaskLost, match="died"):
        executor.submit(tasks.die, None, None).result(PATIENCE)
    with pytest.raises(TaskLost, match="3"):
        executor.submit(tasks.leave, 3, None).result(PATIENCE)
    assert executor.submit(tasks.double, 4, None).result(PATIENCE) == 8


def test_a_process_killed_from_outside_loses_its_task_only(
    open_executor: Open, tmp_path: Path
) -> None:
    executor = open_executor(2)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    doomed = executor.submit(tasks.announce_and_wait, str(tmp_path / "a"), None)
    spared = executor.submit(tasks.announce_and_wait, str(tmp_path / "b"), None)
    psutil.Process(pid_in(tmp_path / "a")).kill()
    with pytest.raises(TaskLost):
        doomed.result(PATIENCE)
    pid_in(tmp_path / "b")
    (tmp_path / "b" / "go").touch()
    spared.result(PATIENCE)


def _is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid)


def _double_or_lose(executor: Executor, number: int) -> int | None:
    """A task given to the dead process before the death is noticed may be lost."""
    try:
        return executor.submit(tasks.double, number, None).result(PATIENCE)
    except TaskLost:
        return None


def test_a_process_that_dies_while_it_is_idle_is_replaced(executor: Executor) -> None:
    for _ in range(2):
        pid = executor.submit(tasks.process_id, None, None).result(PATIENCE)
        psutil.Process(pid).kill()
        wait_until(partial(_is_gone, pid))
        assert wait_until(lambda: _double_or_lose(executor, 4)) == 8


def test_a_task_past_its_time_is_ended(executor: Executor, tmp_path: Path) -> None:
    future = executor.submit(tasks.announce_and_wait, str(tmp_path), 5.0)
    with pytest.raises(TaskTimedOut, match="5 s"):
        future.result(PATIENCE)
    assert wait_until(lambda: has_ended(pid_in(tmp_path)))
    assert executor.submit(tasks.double, 4, PATIENCE).result(PATIENCE) == 8


def test_waiting_for_a_free_process_uses_up_no_time(executor: Executor, tmp_path: Path) -> None:
    before = executor.submit(tasks.announce_and_wait, str(tmp_path), None)
    pid_in(tmp_path)
    begin = time.monotonic()
    queued = executor.submit(tasks.double, 4, 5.0)
    wait_until(lambda: time.monotonic() - begin > 5.5)
    (tmp_path / "go").touch()
    before.result(PATIENCE)
    assert queued.result(PATIENCE) == 8


def test_a_task_that_outgrows_its_memory_is_ended(executor: Executor) -> None:
    with pytest.raises(TaskOutOfMemory):
        executor.submit(tasks.grow, 2 * MEMORY_LIMIT, None).result(PATIENCE)
    assert executor.submit(tasks.double, 4, None).result(PATIENCE) == 8


def test_a_running_task_can_be_cancelled(executor: Executor, tmp_path: Path) -> None:
    future = executor.submit(tasks.announce_and_wait, str(tmp_path), None)
    pid = pid_in(tmp_path)
    executor.cancel(future)
    with pytest.raises(CancelledError):
        future.result(PATIENCE)
    assert future.cancelled()
    wait_until(lambda: has_ended(pid))
    assert executor.submit(tasks.double, 4, None).result(PATIENCE) == 8


def test_a_waiting_task_can_be_cancelled(executor: Executor, tmp_path: Path) -> None:
    for name in ("running", "waiting"):
        (tmp_path / name).mkdir()
    running = executor.submit(tasks.announce_and_wait, str(tmp_path / "running"), None)
    waiting = executor.submit(tasks.announce_and_wait, str(tmp_path / "waiting"), None)
    pid_in(tmp_path / "running")
    executor.cancel(waiting)
    with pytest.raises(CancelledError):
        waiting.result(PATIENCE)
    (tmp_path / "running" / "go").touch()
    running.result(PATIENCE)
    assert executor.submit(tasks.double, 4, None).result(PATIENCE) == 8


def test_cancelling_what_is_done_changes_nothing(executor: Executor) -> None:
    future = executor.submit(tasks.double, 4, None)
    assert future.result(PATIENCE) == 8
    executor.cancel(future)
    assert not future.cancelled()
    assert future.result() == 8


def test_closing_ends_every_process_and_every_task(open_own: Open, tmp_path: Path) -> None:
    executor = open_own(2)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    futures = [
        executor.submit(tasks.announce_and_wait, str(tmp_path / name), None) for name in ("a", "b")
    ]
    pids = [pid_in(tmp_path / name) for name in ("a", "b")]
    queued = executor.submit(tasks.double, 4, None)
    executor.close()
    # A process that was killed takes its time to end on a busy machine.
    wait_until(lambda: all(has_ended(pid) for pid in pids))
    ended: list[Future[Any]] = [*futures, queued]
    for future in ended:
        assert future.done()
        with pytest.raises((CancelledError, TaskLost)):
            future.result()


def test_every_report_is_there_once_the_task_is_done(executor: Executor) -> None:
    future = executor.submit(tasks.tell_numbers, 20_000, None)
    told: list[int] = []
    while not future.done():
        told += executor.reports(future)
    assert future.result() == "told"
    told += executor.reports(future)
    assert told == list(range(20_000))
    assert executor.reports(future) == []


def test_a_task_whose_reports_nobody_reads_is_not_held_up(executor: Executor) -> None:
    assert executor.submit(tasks.tell_numbers, 100_000, None).result(PATIENCE) == "told"


def test_reports_come_while_the_task_runs(executor: Executor, tmp_path: Path) -> None:
    future = executor.submit(tasks.tell_and_wait, str(tmp_path), None)
    assert wait_until(lambda: executor.reports(future)) == ["first"]
    assert not future.done()
    (tmp_path / "go").touch()
    future.result(PATIENCE)
    assert executor.reports(future) == ["second"]


def test_reports_are_those_of_the_task(open_executor: Open) -> None:
    executor = open_executor(2)
    futures = [executor.submit(tasks.tell_numbers, count, None) for count in (3, 0, 5)]
    for future, count in zip(futures, (3, 0, 5), strict=True):
        future.result(PATIENCE)
        assert executor.reports(future) == list(range(count))


def test_reports_of_a_task_that_failed_are_kept(executor: Executor) -> None:
    future = executor.submit(tasks.tell_and_refuse, "no", None)
    with pytest.raises(tasks.Refused):
        future.result(PATIENCE)
    assert executor.reports(future) == ["no", "no"]
    future = executor.submit(tasks.tell_and_die, "last words", None)
    with pytest.raises(TaskLost):
        future.result(PATIENCE)
    assert executor.reports(future) == ["last words"]


def test_a_task_that_is_asked_to_stop_ends_with_a_result(executor: Executor) -> None:
    future = executor.submit(tasks.tell_until_stopped, None, None)
    wait_until(lambda: executor.reports(future))
    executor.stop(future)
    count = future.result(PATIENCE)
    assert executor.reports(future)[-1] == count


def test_a_task_can_be_asked_to_stop_before_it_begins(executor: Executor, tmp_path: Path) -> None:
    before = executor.submit(tasks.announce_and_wait, str(tmp_path), None)
    pid_in(tmp_path)
    queued = executor.submit(tasks.is_asked_to_stop, None, None)
    executor.stop(queued)
    (tmp_path / "go").touch()
    before.result(PATIENCE)
    assert queued.result(PATIENCE)


def test_only_the_task_that_is_meant_is_asked_to_stop(executor: Executor) -> None:
    stopped = executor.submit(tasks.tell_until_stopped, None, None)
    after = executor.submit(tasks.is_asked_to_stop, None, None)
    executor.stop(stopped)
    stopped.result(PATIENCE)
    assert not after.result(PATIENCE)
    executor.stop(after)
    assert not executor.submit(tasks.is_asked_to_stop, None, None).result(PATIENCE)
