import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from pebble.pool.base_pool import PoolStatus

from models.executors.executor import TaskLost
from models.executors.forking import forking
from models.executors.local import LocalExecutor
from tests.executors import tasks
from tests.processes import has_ended
from tests.waiting import PATIENCE, wait_until


def test_every_new_process_is_prepared_once() -> None:
    executor = LocalExecutor(1, 2**30, tasks.prepare)
    try:
        for _ in range(2):
            pid = executor.submit(tasks.process_id, None, None).result(PATIENCE)
            for _ in range(2):
                assert executor.submit(tasks.prepared, None, None).result(PATIENCE) == [pid]
            executor.submit(tasks.die, None, None).exception(PATIENCE)
    finally:
        executor.close()


def test_a_task_that_is_cancelled_while_its_process_starts_is_not_begun(tmp_path: Path) -> None:
    executor = LocalExecutor(1, 2**30, partial(tasks.announce_and_wait, str(tmp_path)))
    try:
        future = executor.submit(tasks.leave_file, str(tmp_path / "left"), None)
        wait_until((tmp_path / "pid").exists)
        executor.cancel(future)
        (tmp_path / "go").touch()
        assert executor.submit(tasks.double, 4, None).result(PATIENCE) == 8
        assert not (tmp_path / "left").exists()
    finally:
        executor.close()


def test_no_task_is_forgotten_when_a_pool_breaks() -> None:
    """Pebble forgets the tasks that it takes while it gives a pool up: no process has them."""
    executor = LocalExecutor(1, 2**30)
    try:
        executor.submit(tasks.process_id, None, None).result(PATIENCE)
        future = executor.submit(time.sleep, PATIENCE, None)
        executor._pool._context.status = PoolStatus.ERROR  # as Pebble marks it
        with pytest.raises(TaskLost):
            future.result(PATIENCE)
        assert executor.submit(tasks.double, 4, None).result(PATIENCE) == 8
    finally:
        executor.close()


def test_every_task_ends_while_idle_processes_are_killed() -> None:
    executor = LocalExecutor(2, 2**30)
    try:
        for _ in range(5):
            pid = executor.submit(tasks.process_id, None, None).result(PATIENCE)
            os.kill(pid, signal.SIGKILL)
            futures = [executor.submit(tasks.double, 4, None) for _ in range(3)]
            for future in futures:
                lost = future.exception(PATIENCE)
                assert isinstance(lost, TaskLost) or future.result() == 8
    finally:
        executor.close()


@pytest.fixture
def short_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of temporary files in which a socket may lie; pytest's own have long names."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr("tempfile.tempdir", folder)
        yield Path(folder)


@pytest.mark.parametrize("preload", ["", tasks.__name__])
def test_processes_end_when_their_parent_is_killed(short_folder: Path, preload: str) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "tests.executors.parent", str(short_folder), preload]
    parent = subprocess.Popen(command, env=environment)
    try:
        wait_until((short_folder / "pid").exists)
        assert bool([*short_folder.glob("luthier-forks-*")]) == bool(preload)
    finally:
        parent.kill()
        parent.wait()
    child = int((short_folder / "pid").read_text())
    wait_until(lambda: has_ended(child))
    wait_until(lambda: not list(short_folder.glob("luthier-*")))


def test_a_killed_fork_server_is_replaced_and_leaves_no_process(tmp_path: Path) -> None:
    if not forking(tasks.__name__)[1]:
        pytest.skip("the path of the temporary files is too long for a socket")
    executor = LocalExecutor(1, 2**30, preload=tasks.__name__)
    try:
        future = executor.submit(tasks.announce_and_wait, str(tmp_path), None)
        wait_until((tmp_path / "pid").exists)
        child = psutil.Process(int((tmp_path / "pid").read_text()))
        server = child.parent()
        assert server is not None
        assert server.pid != os.getpid()
        server.kill()
        wait_until(lambda: has_ended(child.pid))
        assert isinstance(future.exception(PATIENCE), TaskLost)
        assert executor.submit(tasks.double, 4, None).result(PATIENCE) == 8
    finally:
        executor.close()


def test_a_task_is_lost_where_the_fork_server_dies(short_folder: Path) -> None:
    """In a process of its own, as this one may have a fork server already."""
    (short_folder / "dying.py").write_text("import os\nos._exit(1)\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(short_folder), *sys.path])}
    command = [sys.executable, "-m", "tests.executors.parent", str(short_folder), "dying"]
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert "TaskLost: No process for it could be started" in ended.stderr
    assert ended.returncode == 1


def test_a_socket_whose_name_would_be_too_long_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    context, folders = forking("a.module.that.is.not.imported")
    assert (context.get_start_method(), folders) == ("spawn", ())
    assert not list(long.iterdir())


def test_nothing_is_left_in_the_folder_of_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    executor = LocalExecutor(1, 2**30)
    try:
        future = executor.submit(tasks.tell_numbers, 3, None)
        future.result(PATIENCE)
        assert executor.reports(future) == [0, 1, 2]
        assert list(tmp_path.rglob("*.reports")) == []
        executor.submit(tasks.tell_numbers, 3, None).result(PATIENCE)
    finally:
        executor.close()
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_has_grown_is_replaced_between_two_tasks() -> None:
    size = 64 * 2**20
    executor = LocalExecutor(1, 2**32, growth_limit=2 * size)
    try:
        pids = [executor.submit(tasks.keep, size, None).result(PATIENCE) for _ in range(8)]
    finally:
        executor.close()
    assert len(set(pids)) > 1
    assert pids[0] == pids[1], "it had not grown by so much"
    assert pids == sorted(pids, key=pids.index), "each process ran its tasks one after the other"
    assert max(pids.count(pid) for pid in pids) <= 4


def test_a_process_that_does_not_grow_is_kept() -> None:
    executor = LocalExecutor(1, 2**32, growth_limit=256 * 2**20)
    try:
        pids = {executor.submit(tasks.process_id, None, None).result(PATIENCE) for _ in range(20)}
    finally:
        executor.close()
    assert len(pids) == 1


def test_temporary_files_of_a_killed_process_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    executor = LocalExecutor(1, 2**30)
    try:
        executor.submit(tasks.write_and_die, None, None).exception(PATIENCE)
        assert [path for path in tmp_path.rglob("tmp*") if path.is_file()]
        executor.submit(tasks.double, 1, None).result(PATIENCE)
        assert [path for path in tmp_path.rglob("tmp*") if path.is_file()] == []
    finally:
        executor.close()


def test_the_folder_of_a_killed_worker_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = tmp_path / "luthier-tasks-left" / "files-1"
    left.mkdir(parents=True)
    other = LocalExecutor(1, 2**30)
    try:
        assert not left.parent.exists()
        (folder,) = tmp_path.iterdir()
        LocalExecutor(1, 2**30).close()
        assert list(tmp_path.iterdir()) == [folder], "its worker is alive"
    finally:
        other.close()
