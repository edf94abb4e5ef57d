import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_processes_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "tests.executors.parent", str(tmp_path)]
    parent = subprocess.Popen(command, env=environment)
    try:
        wait_until((tmp_path / "pid").exists)
    finally:
        parent.kill()
        parent.wait()
    child = int((tmp_path / "pid").read_text())
    wait_until(lambda: has_ended(child))
    wait_until(lambda: not list(tmp_path.glob("luthier-*")))


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
