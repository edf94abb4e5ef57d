"""The functions that a worker runs in its trial processes."""

from pathlib import Path

import pytest

from models.executors.executor import TaskLost, TaskOutOfMemory, TaskTimedOut
from models.jobs.worker.tasks import failure_of, warm_up_tasks
from models.trials.spec import FailureKind


@pytest.mark.slow
def test_a_new_process_makes_a_whole_version_before_it_is_asked_to(tmp_path: Path) -> None:
    warm_up_tasks(str(tmp_path))
    names = sorted(file.name.rpartition(".")[2] for file in tmp_path.glob("**/*model*"))
    assert "onnx" in names
    assert "keras" in names


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (TaskLost("Its process died."), FailureKind.LOST, "Its process died."),
        (TaskTimedOut("Ended after 3 s."), FailureKind.TIMEOUT, "Ended after 3 s."),
        (TaskOutOfMemory("Too large."), FailureKind.OUT_OF_MEMORY, "Too large."),
        (ValueError("no"), FailureKind.ERROR, "ValueError: no"),
    ],
)
def test_a_trial_says_why_its_task_failed(error: Exception, kind: FailureKind, text: str) -> None:
    assert (failure_of(error).kind, failure_of(error).message) == (kind, text)
