"""The trainer for a GPU: many networks at once, as one program over stacked weights.

One small network leaves a GPU idle: a step of it takes the time of starting a few dozen kernels,
whatever their size. So runs are sorted into packs by structure and size, and a pack takes its steps
together. Each run has its own rates, its own order of rows and its own end, and the answers that it
would have alone, up to rounding.
"""

from collections.abc import Sequence

import tensorflow as tf

from models.trials.packs.memory import pack_memory
from models.trials.packs.pack import Pack
from models.trials.packs.sorting import sort_into_packs
from models.trials.packs.work import Member, Work
from models.trials.trainers.base import Report, Run, RunResult, TrainingData


class PackTrainer:
    """Trains the runs of one trial or of many at once, on a GPU if there is one.

    `memory` is about how many bytes a pack may take; left out, a share of what the device has free.
    A pack that does not fit after all is halved and trained anew.
    """

    name = "pack"

    def __init__(self, memory: int | None = None) -> None:
        self._memory = memory

    def train(
        self, runs: Sequence[Run], data: Sequence[TrainingData], report: Report | None = None
    ) -> list[RunResult]:
        """As `models.trials.trainers.base.Trainer` says."""
        work = Work(runs, data, report)
        self.train_together([work])
        return work.results()

    def train_together(self, works: Sequence[Work]) -> None:
        """Train the runs of several trials; each work has its own results or MemoryError."""
        memory = pack_memory() if self._memory is None else self._memory
        members = [member for work in works for member in work.members]
        for pack in sort_into_packs(members, memory):
            _train(pack)


def _train(members: Sequence[Member]) -> None:
    members = [member for member in members if not member.is_over]
    if not members:
        return
    try:
        Pack(members).train()
        return
    except tf.errors.ResourceExhaustedError as error:
        reason = MemoryError(error.message)
    # Only here is the memory of the failed pack free: the error held it.
    if len(members) == 1:
        members[0].work.fail(reason)
        return
    for member in members:
        member.begin()
    half = len(members) // 2
    _train(members[:half])
    _train(members[half:])
