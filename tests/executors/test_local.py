import subprocess
import sys
from pathlib import Path

import tasks
from processes import has_ended
from waiting import wait_until

from models.executors.local import LocalExecutor

PATIENCE = 60  # seconds that a result may take on a busy machine


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
    parent = subprocess.Popen([sys.executable, Path(__file__).parent / "parent.py", tmp_path])
    try:
        file = wait_until(lambda: (tmp_path / "pid").exists() and tmp_path / "pid")
    finally:
        parent.kill()
        parent.wait()
    child = int(file.read_text())
    wait_until(lambda: has_ended(child))
