"""The Ray cluster of a service under test, whose nodes and slots are killed."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from random import Random

import psutil

from tests.ray_nodes import add_node, ray_cluster, ray_processes

_CPUS = 2  # of each node: one that is left has room for every trial
_GONE_WITHIN = 60.0  # seconds until no slot is left of a worker that ended
_EVERY = 0.2  # seconds
_SLOT = "ray::Slot"
_TRIAL = "--multiprocessing-fork"


class Nodes:
    """A head node, on which the workers are drivers, and another that can be killed."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._cluster = self._stack.enter_context(ray_cluster(_CPUS, _CPUS))

    @property
    def address(self) -> str:
        """HOST:PORT of the head."""
        return str(self._cluster.address)

    def kill_node(self) -> bool:
        """Kill the other node with all that runs there, and start another; False if it is away."""
        for node in list(self._cluster.worker_nodes):
            self._cluster.remove_node(node, allow_graceful=False)
            add_node(self._cluster, _CPUS)
            return True
        return False

    def kill_slot(self, random: Random) -> bool:
        """Kill the actor of one slot; False if there is none."""
        return self._kill_one(random, lambda line: line[0].startswith(_SLOT))

    def kill_trial(self, random: Random) -> bool:
        """Kill a trial process of one slot; False if there is none."""
        return self._kill_one(random, lambda line: _TRIAL in line)

    def left(self) -> list[str]:
        """Return the slots and trial processes that stay when every worker has ended."""
        deadline = time.monotonic() + _GONE_WITHIN
        while (found := self._lines()) and time.monotonic() < deadline:
            time.sleep(_EVERY)
        return [" ".join(line)[:200] for line in found]

    def close(self) -> None:
        """End the cluster; raises AssertionError for a process that stays."""
        self._stack.close()

    def _kill_one(self, random: Random, fits: Callable[[list[str]], bool]) -> bool:
        found = [each for each in ray_processes() if (line := _line(each)) and fits(line)]
        if not found:
            return False
        try:
            random.choice(sorted(found, key=lambda each: each.pid)).kill()
        except psutil.NoSuchProcess:
            return False
        return True

    def _lines(self) -> list[list[str]]:
        lines = [_line(each) for each in ray_processes()]
        return [line for line in lines if line and (line[0].startswith(_SLOT) or _TRIAL in line)]


def _line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
