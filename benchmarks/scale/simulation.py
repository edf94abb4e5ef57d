"""How many nodes one service feeds: a queueing model of the costs that were measured.

Each slot of a node trains for a while, then needs its worker for the turn of its job, then the
database for that turn's transaction. A worker and the database each serve one after another.
"""

import heapq
import random
from dataclasses import dataclass

_TURNS = 200  # of each slot, until the figures are taken


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds, as they were measured."""

    turn: float  # of a worker, for one trial
    transaction: float  # of the database, for one trial


@dataclass(frozen=True, slots=True)
class Outcome:
    """What so many nodes do."""

    nodes: int
    per_second: float  # trials
    efficiency: float  # of the trials that slots without any cost would train
    workers: float  # share of the time in which a worker is busy, the mean
    database: float  # the same

    @property
    def saturated(self) -> str:
        """What is busy nearly all the time; the slots if nothing is."""
        share, name = max((self.workers, "the worker"), (self.database, "the database"))
        return name if share > 0.9 else "the slots"


def simulate(nodes: int, slots: int, trial: float, costs: Costs, *, one_job: bool) -> Outcome:
    """Let every slot train trials of about `trial` seconds.

    With `one_job` a single worker drives all nodes, as one does on a Ray cluster; otherwise each
    node has its own worker and job.
    """
    draw = random.Random(1)
    workers = 1 if one_job else nodes
    free_at = [0.0] * workers
    database_at = 0.0
    busy_worker = busy_database = 0.0
    ready = [(draw.uniform(0.5, 1.5) * trial, number) for number in range(nodes * slots)]
    heapq.heapify(ready)
    turns = _TURNS * nodes * slots
    now = 0.0
    for _ in range(turns):
        now, slot = heapq.heappop(ready)
        worker = 0 if one_job else slot // slots
        began = max(now, free_at[worker])
        asked = max(began + costs.turn, database_at)
        database_at = free_at[worker] = asked + costs.transaction
        busy_worker += free_at[worker] - began
        busy_database += costs.transaction
        heapq.heappush(ready, (free_at[worker] + draw.uniform(0.5, 1.5) * trial, slot))
    return Outcome(
        nodes=nodes,
        per_second=turns / now,
        efficiency=turns / now * trial / (nodes * slots),
        workers=busy_worker / now / workers,
        database=busy_database / now,
    )
