"""What a worker submits for each trial, or for a pack of them."""

from collections.abc import Sequence
from dataclasses import asdict

from models.executors.reporting import tell
from models.telemetry import about
from models.trials.run import run_trial
from models.trials.spec import TrialResult, TrialSpec
from models.trials.together import run_trials


def train(spec: TrialSpec) -> TrialResult:
    """Run one trial, telling every epoch to the worker, which may ask the trial to end early."""
    with about(job=spec.job, trial=spec.number):
        return run_trial(spec, lambda report: tell(asdict(report)))


def train_together(specs: Sequence[TrialSpec]) -> list[TrialResult]:
    """Run several trials; each is a part of the task, and what is told begins with its number."""
    with about(job=specs[0].job):  # the same for all of a pack
        return run_trials(specs, lambda part, report: tell([part, asdict(report)], part))
