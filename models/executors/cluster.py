"""The connection to a Ray cluster, and how many trials its nodes have room for.

The process that connects is a Ray driver: a node of the cluster must run on its machine.
"""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from models.errors import SettingError
from models.executors.slot import SlotOptions, check_node

log = logging.getLogger(__name__)

_ANSWERS_WITHIN = 5.0  # seconds, of the head node's port
_CHECKED_WITHIN = 120.0  # seconds, in which the nodes have to start a process each
_ROUNDING = 1e-9  # of fractions of a GPU
_CLIENT_PREFIX = "ray://"


@dataclass(frozen=True, slots=True)
class Resources:
    """What one trial takes of a node."""

    cpus: float = 1.0
    gpus: float = 0.0  # a fraction shares a GPU

    def places(self, node: Mapping[str, float]) -> int:
        """Return how many trials fit into the resources of a node."""
        wanted = {"CPU": self.cpus, "GPU": self.gpus}
        return min(
            int(node.get(name, 0.0) / amount + _ROUNDING)
            for name, amount in wanted.items()
            if amount > 0
        )


def connect(address: str) -> None:
    """Connect this process to a cluster; `address` is that of its head node, empty for any.

    Without an address, RAY_ADDRESS or a node on this machine says where the cluster is. Raises
    SettingError where there is no cluster.
    """
    address = address or os.environ.get("RAY_ADDRESS", "") or "auto"
    if address.startswith(_CLIENT_PREFIX):
        raise SettingError(
            f"{address} is the address of Ray Client, over which no worker runs. Start a node on"
            " this machine with `ray start --address=HOST:6379`, and set LUTHIER_RAY_ADDRESS to"
            " HOST:6379."
        )
    _check_that_it_listens(address)
    # Ray would end this process on SIGTERM, which a worker answers by letting its jobs go.
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, configure_logging=False, log_to_driver=True)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise SettingError(_unreachable(address, str(error))) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def disconnect() -> None:
    """Leave the cluster; what this process started there ends."""
    ray.shutdown()


def _check_that_it_listens(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWERS_WITHIN).close()
    except (OSError, OverflowError) as error:
        raise SettingError(_unreachable(address, str(error))) from error


def _unreachable(address: str, why: str) -> str:
    return (
        f"LUTHIER_EXECUTOR=ray: no Ray cluster can be reached at {address}: {why} Start a node on"
        " this machine with `ray start`, and set LUTHIER_RAY_ADDRESS to the head node's HOST:6379."
    )


def nodes() -> list[dict[str, Any]]:
    """Return the nodes that are alive, as Ray describes them."""
    found: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in found if node["Alive"]]


def places(resources: Resources, found: Iterable[Mapping[str, Any]]) -> int:
    """Return how many trials fit on the nodes that were found, if nothing else ran there."""
    return sum(resources.places(node["Resources"]) for node in found)


def check_nodes(options: SlotOptions, resources: Resources) -> None:
    """Raise SettingError if a node that has room for trials cannot run them."""
    able = [node for node in nodes() if resources.places(node["Resources"])]
    if not able:
        log.warning("no node of the Ray cluster has room for a trial; trials wait for one")
    check = ray.remote(num_cpus=0, max_retries=0)(check_node)
    asked = {
        check.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(options): node["NodeManagerAddress"]
        for node in able
    }
    for answer, name in asked.items():
        try:
            trouble = ray.get(answer, timeout=_CHECKED_WITHIN)
        except GetTimeoutError:
            trouble = f"It did not start a process within {_CHECKED_WITHIN:g} s."
        except RayError as error:
            trouble = f"It cannot run trials: {error}"
        if trouble:
            raise SettingError(f"LUTHIER_EXECUTOR=ray: the node {name}: {trouble}")
