"""The task that a worker submits for each trial."""

from dataclasses import asdict

from models.executors.reporting import tell
from models.telemetry import about
from models.trials.run import run_trial
from models.trials.spec import TrialResult, TrialSpec


def train(spec: TrialSpec) -> TrialResult:
    """Run one trial and report every epoch to the worker, which may ask the trial to end early."""
    with about(job=spec.job, trial=spec.number):
        return run_trial(spec, lambda report: tell(asdict(report)))
