"""Run several trials at once: the entry point of a trial process on a machine with a GPU."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from models.trials.run import failed_by, plan_trial, run_trial_with, score_trial
from models.trials.spec import TrialResult, TrialSpec
from models.trials.trainers.base import EpochReport

if TYPE_CHECKING:
    from models.trials.packs.trainer import PackTrainer

# Observation the number of a trial among those given and its newest epoch; True ends that trial.
ReportOf = Callable[[int, EpochReport], bool | None]


def run_trials(specs: Sequence[TrialSpec], report: ReportOf | None = None) -> list[TrialResult]:
    """Train and score trials as `models.trials.run.run_trial` does; the results are in their order.

    Those whose trainer is that of packs are trained at once, the others one after the other.
    """
    # The parent sends this function by name and so imports this file; TensorFlow stays out of it.
    from models.trials.packs.trainer import PackTrainer
    from models.trials.trainers.choice import choose_trainer

    trainers = [choose_trainer(spec.network, spec.values) for spec in specs]
    packed = [n for n, trainer in enumerate(trainers) if isinstance(trainer, PackTrainer)]
    results: dict[int, TrialResult] = {}
    if packed:
        results = _train_together(PackTrainer(), {n: specs[n] for n in packed}, report)
    for number, trainer in enumerate(trainers):
        if number not in results:
            tell = None if report is None else partial(report, number)
            results[number] = run_trial_with(trainer, specs[number], tell)
    return [results[number] for number in range(len(specs))]


def _train_together(
    trainer: "PackTrainer", specs: dict[int, TrialSpec], report: ReportOf | None
) -> dict[int, TrialResult]:
    from models.trials.packs.work import Work

    results, plans, works = {}, {}, {}
    for number, spec in specs.items():
        try:
            plans[number] = plan_trial(spec)
            tell = None if report is None else partial(report, number)
            works[number] = Work(plans[number].runs, plans[number].training, tell)
        except Exception as error:
            results[number] = failed_by(error, spec)
    try:
        trainer.train_together(list(works.values()))
    except Exception as error:
        return results | {number: failed_by(error, specs[number]) for number in works}
    for number, work in works.items():
        try:
            results[number] = score_trial(plans[number], work.results(), trainer.name)
        except Exception as error:
            results[number] = failed_by(error, specs[number])
    return results
