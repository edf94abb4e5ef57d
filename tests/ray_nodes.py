"""Real Ray clusters on this machine, each node of which is a raylet of its own."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
from ray._private import services
from ray.cluster_utils import Cluster

from tests.processes import free_bind, has_ended
from tests.waiting import wait_until

STORE_BYTES = 80 * 1024**2  # of each node's object store
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_METRICS_COLLECTION": "0",
    # A busy machine takes its time.
    "RAY_agent_register_timeout_ms": "600000",
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_gcs_server_request_timeout_seconds": "600",
    "RAY_health_check_timeout_ms": "60000",
    "RAY_gcs_rpc_server_connect_timeout_s": "600",
}
_AGENT_PORTS = ("metrics_agent", "metrics_export", "dashboard_agent_listen")
_get_node, _start_raylet = services.get_node, services.start_raylet


@contextmanager
def ray_cluster(*cpus: int) -> Iterator[Cluster]:
    """Run a cluster of nodes with so many CPUs each, the first of which is its head.

    At the end no process of it is left. One cluster runs in a process at a time.
    """
    # The paths of its sockets may have 107 characters.
    folder = tempfile.mkdtemp(prefix="r", dir="/tmp")
    Path(folder, "ray").mkdir()
    with _variables(RAY_TMPDIR=folder, **_SETTINGS):
        try:
            yield from _running(cpus)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _running(cpus: Sequence[int]) -> Iterator[Cluster]:
    cluster = Cluster()
    try:
        for count in cpus:
            add_node(cluster, count)
        yield cluster
    finally:
        left = ray_processes()
        cluster.shutdown()
        wait_until(lambda: all(has_ended(process.pid) for process in left))


@contextmanager
def _variables(**own: str) -> Iterator[None]:
    """Set variables of the environment meanwhile."""
    before = {key: os.environ.get(key) for key in own}
    os.environ.update(own)
    try:
        yield
    finally:
        for key, text in before.items():
            if text is None:
                del os.environ[key]
            else:
                os.environ[key] = text


def add_node(cluster: Cluster, cpus: int) -> None:
    """Start a node, however long a busy machine takes to."""
    # What killed slots leave is removed with the cluster.
    with (
        _variables(TMPDIR=os.environ["RAY_TMPDIR"]),
        mock.patch.object(services, "get_node", _registered),
        mock.patch.object(services, "start_raylet", _start_without_agents),
    ):
        cluster.add_node(
            num_cpus=cpus,
            include_dashboard=False,
            object_store_memory=STORE_BYTES,
            runtime_env_agent_port=int(free_bind().rpartition(":")[2]),
        )


def _start_without_agents(*arguments: Any, **options: Any) -> Any:
    """Start a raylet that need not wait for the ports of agents, which have none without extras.

    It ends where they take longer than 15 seconds to say so.
    """
    node, session = arguments[2], Path(arguments[11])
    for name in _AGENT_PORTS:
        (session / f"{name}_port_{node}").write_text("-1")
    return _start_raylet(*arguments, **options)


def _registered(*node: Any) -> Any:
    """Return a node that has started; Ray itself asks for 30 seconds only."""

    def asked() -> Any:
        with suppress(RuntimeError):
            return _get_node(*node)

    return wait_until(asked)


def ray_processes() -> list[psutil.Process]:
    """Return the processes of the cluster that runs, and those below them."""
    folder = os.environ["RAY_TMPDIR"]
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            if any(folder in part for part in process.cmdline()):
                found |= {each.pid: each for each in [process, *process.children(recursive=True)]}
        except psutil.Error:
            continue
    return list(found.values())
