"""What an executor adds to a trial, and what a second node of a Ray cluster brings.

`python -m benchmarks.executors` starts a Ray cluster on this machine. Tasks sleep for 0.2 s, the
time of a short trial, and report their epochs. Bars: an overhead below 5 % of a trial, and 1.8
times as many trials a second with a second node.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from models.executors.cluster import connect, disconnect
from models.executors.executor import Executor
from models.executors.local import LocalExecutor, tell
from models.executors.ray import RayExecutor
from models.executors.slot import SlotOptions
from tests.ray_nodes import add_node, ray_cluster

TRIAL_SECONDS = 0.2
EPOCHS = 20
MAX_SHARE = 0.05  # of a trial
MIN_GAIN = 1.8  # of a second node
_TASKS_A_SLOT = 60
_ROUNDS = 3
_MEMORY = 2**30  # bytes


@dataclass(frozen=True, slots=True)
class Overhead:
    """What was measured on so many slots: seconds of a slot beyond those that its tasks slept."""

    executor: str
    slots: int
    seconds: float

    @property
    def share(self) -> float:
        """The overhead as a share of a trial."""
        return self.seconds / TRIAL_SECONDS


def nap(payload: bytes) -> float:
    """Report epochs and sleep, as long as a trial takes; return the seconds that it took."""
    began = time.perf_counter()
    for epoch in range(EPOCHS):
        tell({"epoch": epoch, "metrics": {"loss": 1.0, "val_loss": 1.0}})
        time.sleep(TRIAL_SECONDS / EPOCHS)
    return time.perf_counter() - began


def run_naps(executor: Executor, count: int) -> tuple[float, float]:
    """Keep every slot busy with naps; return the seconds of all and the mean of one."""
    payload = bytes(2000)  # the size of a pickled trial, about
    began = time.perf_counter()
    futures = [executor.submit(nap, payload, None) for _ in range(count)]
    slept = [future.result() for future in futures]
    return time.perf_counter() - began, statistics.fmean(slept)


def overhead(name: str, slots: int, open_executor: Callable[[int], Executor]) -> Overhead:
    """Return the median overhead of several rounds on warm slots."""
    executor = open_executor(slots)
    try:
        run_naps(executor, 2 * slots)
        found = []
        for _ in range(_ROUNDS):
            took, slept = run_naps(executor, _TASKS_A_SLOT * slots)
            found.append(took / _TASKS_A_SLOT - slept)
    finally:
        executor.close()
    return Overhead(name, slots, statistics.median(found))


def open_local(slots: int) -> Executor:
    """Return warm processes of this machine."""
    return LocalExecutor(slots, _MEMORY)


def open_ray(slots: int) -> Executor:
    """Return slots in the cluster that this process is connected to; with 0, all of its places."""
    return RayExecutor(SlotOptions(_MEMORY, _MEMORY), limit=slots)


def trials_a_second(places: int) -> float:
    """Return how many naps end in a second, where the cluster has so many places."""
    executor = open_ray(0)
    try:
        while executor.slots < places:
            time.sleep(0.1)
        run_naps(executor, 2 * places)
        took, _ = run_naps(executor, _TASKS_A_SLOT * places)
    finally:
        executor.close()
    return _TASKS_A_SLOT * places / took


def main() -> None:
    """Measure and print both tables."""
    with ray_cluster(2) as cluster:
        connect(cluster.address)
        measured = [overhead("local", slots, open_local) for slots in (1, 2)]
        measured += [overhead("ray", slots, open_ray) for slots in (1, 2)]
        one = trials_a_second(2)
        add_node(cluster, 2)
        two = trials_a_second(4)
        disconnect()
    table = Table("executor", "slots", "overhead", "of a 0.2 s trial", "bar")
    for each in measured:
        cells = (f"{each.seconds * 1e3:.1f} ms", f"{each.share:.1%}", f"{MAX_SHARE:.0%}")
        table.add_row(each.executor, str(each.slots), *cells)
    console = Console()
    console.print(table)
    console.print(
        f"One node: {one:.2f} trials/s. Two nodes: {two:.2f}, {two / one:.2f} times as many"
        f" (bar: {MIN_GAIN})."
    )


if __name__ == "__main__":
    # The slots import what they run by its name.
    from benchmarks import executors

    executors.main()
