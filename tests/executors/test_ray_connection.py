"""What a worker over Ray refuses at its start, and how it stores the inputs of its tasks."""

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from models.errors import SettingError
from models.executors.cluster import Resources, check_nodes, connect, places
from models.executors.ray import RayExecutor, StoredInputs
from models.executors.slot import SlotOptions
from models.jobs.worker.tasks import datasets_of, open_executor
from models.settings import Settings
from models.store.artifacts import Artifacts
from tests.executors import tasks
from tests.processes import free_bind, has_ended
from tests.waiting import PATIENCE, wait_until

LIMIT = 2**30
NODE = {"CPU": 4.0, "GPU": 1.0, "memory": 1e9}


def test_a_worker_without_ray_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"pip install 'luthier\[ray\]'"):
        open_executor(Settings(executor="ray"), Artifacts(str(tmp_path)))


def test_an_address_without_a_cluster_is_named(tmp_path: Path) -> None:
    address = free_bind()
    settings = Settings(executor="ray", ray_address=address)
    with pytest.raises(SettingError, match=f"be reached at {address}: .*refused"):
        open_executor(settings, Artifacts(str(tmp_path)))


def test_the_address_of_ray_client_is_refused() -> None:
    with pytest.raises(SettingError, match="Ray Client"):
        connect("ray://127.0.0.1:10001")


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        (Resources(), 4),
        (Resources(2.0), 2),
        (Resources(3.0), 1),
        (Resources(0.1), 40),
        (Resources(8.0), 0),
        (Resources(1.0, 0.25), 4),
        (Resources(0.5, 0.1), 8),
        (Resources(0.1, 0.1), 10),
        (Resources(1.0, 2.0), 0),
    ],
)
def test_a_node_has_places_by_its_scarcest_resource(resources: Resources, expected: int) -> None:
    assert resources.places(NODE) == expected
    assert places(resources, [{"Resources": NODE}, {"Resources": {}}]) == expected


@pytest.mark.usefixtures("ray_connection")
def test_nodes_of_another_version_or_without_the_artifact_root_are_refused(tmp_path: Path) -> None:
    artifacts = Artifacts(str(tmp_path / "artifacts"))
    mark = artifacts.mark()
    assert mark is not None
    check_nodes(SlotOptions(LIMIT, LIMIT, mark=mark), Resources())
    with pytest.raises(SettingError, match=r"does not have the worker's artifact root .*artifacts"):
        check_nodes(SlotOptions(LIMIT, LIMIT, mark=(mark[0], mark[1] - 1)), Resources())
    with pytest.raises(SettingError, match=r"the worker has 9\.9\.9"):
        check_nodes(SlotOptions(LIMIT, LIMIT, version="9.9.9"), Resources())


@pytest.mark.usefixtures("ray_connection")
def test_stored_inputs_reach_a_task_through_the_object_store() -> None:
    """The root is in the memory of this process: no other process can read it."""
    artifacts = Artifacts("memory://inputs")
    artifacts.write("datasets/ds_1/columns.parquet", b"rows")
    inputs = StoredInputs(artifacts, lambda name: ["datasets/ds_1", "datasets/none"])
    executor = RayExecutor(SlotOptions(LIMIT, LIMIT, tasks.COPYING), limit=1, inputs=inputs)
    try:
        name = "datasets/ds_1/columns.parquet"
        assert executor.submit(tasks.read_artifact, name, None).result(PATIENCE) == b"rows"
        artifacts.delete("datasets/ds_1")
        assert executor.submit(tasks.read_artifact, name, None).result(PATIENCE) == b"rows"
    finally:
        executor.close()


@pytest.mark.usefixtures("ray_connection")
def test_an_idle_slot_gives_its_place_back() -> None:
    executor = RayExecutor(SlotOptions(LIMIT, LIMIT), limit=1, idle_seconds=0.2)
    try:
        pid = executor.submit(tasks.process_id, None, None).result(PATIENCE)
        wait_until(lambda: has_ended(pid))
        assert executor.submit(tasks.process_id, None, None).result(PATIENCE) != pid
    finally:
        executor.close()


@pytest.mark.usefixtures("ray_connection")
def test_a_task_of_a_killed_slot_is_lost_and_another_slot_goes_on(tmp_path: Path) -> None:
    executor = RayExecutor(SlotOptions(LIMIT, LIMIT), limit=1)
    try:
        future = executor.submit(tasks.announce_and_wait, str(tmp_path), None)
        wait_until((tmp_path / "pid").exists)
        child = psutil.Process(int((tmp_path / "pid").read_text()))
        slot = child.parent()
        assert slot is not None
        os.kill(slot.pid, signal.SIGKILL)
        assert "node or process died" in str(future.exception(PATIENCE))
        wait_until(lambda: has_ended(child.pid))
        assert executor.submit(tasks.double, 4, None).result(PATIENCE) == 8
    finally:
        executor.close()


@pytest.mark.usefixtures("ray_connection")
def test_a_process_of_a_slot_imports_no_ray() -> None:
    executor = RayExecutor(SlotOptions(LIMIT, LIMIT), limit=1)
    try:
        assert "ray" in sys.modules
        assert executor.submit(tasks.has_module, "ray", None).result(PATIENCE) is False
    finally:
        executor.close()


def test_other_tasks_need_no_dataset() -> None:
    assert datasets_of("anything") == []
