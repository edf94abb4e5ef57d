"""What is to be trained, and what came of it: trials, and the runs of each."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.networks.optimizers import Steps
from models.networks.values import value
from models.trials.packs.layout import Layout
from models.trials.packs.structure import Structure
from models.trials.trainers.base import Report, Run, RunResult, TrainingData
from models.trials.trainers.numpy.layout import LayerPlan, plan_layers
from models.trials.trainers.numpy.rates import Rates
from models.trials.trainers.recording import Recorder


class Work:
    """The runs of one trial; in the end its results, as if one run had followed the other."""

    def __init__(
        self, runs: Sequence[Run], data: Sequence[TrainingData], report: Report | None = None
    ) -> None:
        self.report = report
        self.members = [
            Member(self, number, run, data[run.fold]) for number, run in enumerate(runs)
        ]
        self._found: dict[int, RunResult] = {}
        self._last = len(runs) - 1
        self._error: MemoryError | None = None

    def end_after(self, number: int) -> None:
        """A run diverged or was stopped: no later one is wanted."""
        self._last = min(self._last, number)

    def fail(self, error: MemoryError) -> None:
        """Not even one run fits into memory."""
        self._error = error

    def wants(self, number: int) -> bool:
        """Whether the result of a run is still wanted."""
        return self._error is None and number <= self._last

    def found(self, number: int, result: RunResult) -> None:
        """A run has its result."""
        self._found[number] = result
        if result.diverged or result.stopped:
            self.end_after(number)

    def results(self) -> list[RunResult]:
        """What `models.trials.trainers.base.Trainer.train` answers, or the MemoryError that it raises."""
        if self._error is not None:
            raise self._error
        return [self._found[number] for number in range(self._last + 1)]


@dataclass(frozen=True, slots=True)
class Shape:
    """What runs must have in common to be trained together."""

    structure: Structure
    outputs: int
    batch: int
    steps: int  # in an epoch


class Member:
    """One run in a pack; `begin` makes it ready, once more after its pack did not fit in memory."""

    def __init__(self, work: Work, number: int, run: Run, data: TrainingData) -> None:
        self.work, self.number, self.run, self.data = work, number, run, data
        rows = len(data.x_train)
        batch = min(int(value(run.values, "batch_size")), rows)
        self.plans: list[LayerPlan] = plan_layers(
            run.values, int(data.x_train[0].size), data.outputs
        )
        self.layout = Layout.of(self.plans)
        self.shape = Shape(
            structure=Structure.of(run.values, data.outputs.task),
            outputs=data.outputs.units,
            batch=batch,
            steps=-(-rows // batch),
        )
        self._told = 0
        self.begin()

    def begin(self) -> None:
        """Set the record and the schedule to their start."""
        steps = self.shape.steps
        self.epoch = self.run.initial_epoch  # how many are done
        self.seconds = 0.0
        self.recorder = Recorder.of(self.run, self.data)
        self.rates = Rates.of(
            self.run.values,
            Steps(total=steps * self.run.epochs, done=steps * self.run.initial_epoch),
        )

    @property
    def is_over(self) -> bool:
        """Whether it needs no further epoch."""
        has_ended = self.recorder.ended or self.epoch >= self.run.epochs
        return has_ended or not self.work.wants(self.number)

    def end_epoch(
        self, loss: float, val_loss: float, companion: float, val_companion: float
    ) -> bool:
        """Record an epoch and tell of it; whether its weights are the best so far."""
        self.epoch += 1
        is_best = self.recorder.record(self.epoch, loss, val_loss, companion, val_companion)
        if self.work.report is not None and self.epoch > self._told:
            self.recorder.tell(self.work.report, self.epoch)
            self._told = self.epoch
        if self.recorder.diverged or self.recorder.stopped:
            self.work.end_after(self.number)
        self.rates.end_epoch(val_loss)
        return is_best
