"""Jobs of a worker that trains trials in packs, as it does by itself where there is a GPU."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.data.preparation.splitting import Evaluation
from models.jobs.events import epoch_events
from models.jobs.lifecycle import JobState, TrialState
from models.jobs.queries import JobQueries
from models.jobs.records import Job, Trial
from models.jobs.requests import JobRequests
from models.jobs.spec import JobSpec
from models.settings import Settings
from models.trials.trainers.base import EpochReport
from tests.jobs.steps import manual
from tests.processes import running, stop
from tests.waiting import wait_until

PATIENCE = 180.0


@pytest.fixture
def _worker(settings: Settings, tmp_path: Path) -> Iterator[None]:
    log = tmp_path / "worker.log"
    options = {"data": settings.data, "trial_slots": 1, "poll_seconds": 0.05, "trainer": "pack"}
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(running("worker", log, **options))
        yield
        assert stop(process) == 0, log.read_text()


@pytest.mark.usefixtures("_worker")
def test_trials_in_packs_are_told_scored_and_cancelled_like_others(
    requests: JobRequests, queries: JobQueries, make_spec: Callable[..., JobSpec]
) -> None:
    def in_state(job: Job, state: TrialState) -> list[Trial]:
        return queries.trials(job, states=[state])

    folds = Evaluation(method="cv", folds=3)
    many = requests.create(make_spec(manual(12), evaluation=folds, budget={"epochs": 4}), 12)
    wait_until(lambda: len(in_state(many, TrialState.COMPLETED)) == 12, PATIENCE)
    requests.cancel(many.id)
    trials = queries.trials(many)
    for number in (1, 12):
        trial = queries.trial(many, number)
        assert trial.result["trainer"] == "pack"
        assert len(trial.result["folds"]) == 3
        assert len(trial.result["history"]["val_loss"]) == 4
    assert len({trial.score for trial in trials}) == 12

    endless = requests.create(make_spec(manual(3), budget={"epochs": 100_000}), 3)
    wait_until(lambda: len(in_state(endless, TrialState.RUNNING)) == 3, PATIENCE)
    # Their curves grow while they are trained.
    for number in (1, 3):
        wait_until(lambda number=number: queries.trial(endless, number).result, PATIENCE)
    requests.cancel(endless.id)
    wait_until(lambda: queries.get(endless.id).state == JobState.CANCELLED, PATIENCE)
    assert len(in_state(endless, TrialState.CANCELLED)) == 3


def test_runs_that_take_turns_make_one_event_each() -> None:
    reports = [
        EpochReport(fold, 0, epoch, {"loss": float(epoch)}) for epoch in (1, 2) for fold in (0, 1)
    ]
    told = [event.data for event in epoch_events(7, reports)]
    assert [(data["fold"], data["first_epoch"], data["epoch"]) for data in told] == [
        (0, 1, 2),
        (1, 1, 2),
    ]
    assert told[1]["history"] == {"loss": [1.0, 2.0]}
