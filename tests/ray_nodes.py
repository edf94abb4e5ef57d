"""Real Ray clusters on this machine, each node of which is a raylet of its own."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from ray.cluster_utils import Cluster

from tests.processes import has_ended
from tests.waiting import wait_until

_TRIES = 5
STORE_BYTES = 80 * 1024**2  # of each node's object store
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_METRICS_COLLECTION": "0"}


@contextmanager
def ray_cluster(*cpus: int) -> Iterator[Cluster]:
    """Run a cluster of nodes with so many CPUs each, the first of which is its head.

    At the end no process of it is left.
    """
    # The paths of its sockets may have 107 characters.
    folder = tempfile.mkdtemp(prefix="r", dir="/tmp")
    own = {"RAY_TMPDIR": folder, **_QUIET}
    before = {key: os.environ.get(key) for key in own}
    os.environ.update(own)
    Path(folder, "ray").mkdir()
    cluster = Cluster()
    try:
        for count in cpus:
            add_node(cluster, folder, count)
        yield cluster
    finally:
        left = ray_processes(folder)
        cluster.shutdown()
        wait_until(lambda: all(has_ended(process.pid) for process in left))
        shutil.rmtree(folder, ignore_errors=True)
        for key, text in before.items():
            if text is None:
                del os.environ[key]
            else:
                os.environ[key] = text


def add_node(cluster: Cluster, folder: str, cpus: int) -> None:
    """Start a node; Ray gives one up that takes longer than 30 s to start on a busy machine."""
    for _ in range(_TRIES):
        before = {process.pid for process in ray_processes(folder)}
        with suppress(Exception):
            cluster.add_node(
                num_cpus=cpus, include_dashboard=False, object_store_memory=STORE_BYTES
            )
            return
        for process in ray_processes(folder):
            if process.pid not in before:
                process.kill()
    raise AssertionError("Ray did not start a node.")


def ray_processes(folder: str) -> list[psutil.Process]:
    """Return the processes of the cluster whose files are in a folder, and those below them."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            if any(folder in part for part in process.cmdline()):
                found |= {each.pid: each for each in [process, *process.children(recursive=True)]}
        except psutil.Error:
            continue
    return list(found.values())
