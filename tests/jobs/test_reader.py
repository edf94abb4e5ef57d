from collections.abc import Callable
from dataclasses import replace

import pytest

from models.errors import NotFound
from models.jobs.commands import JobCommands
from models.jobs.model import Job, Progress, TrialState
from models.jobs.reader import JobReader
from models.jobs.store.held_job import HeldJob
from models.store.engine import Database
from models.trials.spec import Failure, FailureKind
from tests.jobs.steps import present, propose, scored

pytestmark = pytest.mark.both_databases

# By number: 1 and 4 tie, 3 failed, 6 runs, 7 and 8 wait.
SCORES = {1: 0.5, 2: 0.9, 4: 0.5, 5: 0.1}


@pytest.fixture
def filled(queued, claim) -> Callable[..., Job]:
    """A job of ten planned trials, of which eight are there in different states."""

    def fill(direction: str = "min") -> Job:
        queued(10, direction=direction)
        job, held = claim()
        _fill(held)
        return job

    return fill


def _fill(held: HeldJob) -> None:
    propose(held, 8)
    for number in range(1, 7):
        held.start(number)
        if number in SCORES:
            held.complete(number, scored(SCORES[number]), {}, 1.0)
    held.fail(3, Failure(FailureKind.DIVERGED, "too fast"), scored(None), {}, 1.0)


def numbers(found) -> list[int]:
    return [trial.number for trial in found]


def test_trials_come_by_number(filled, reader: JobReader) -> None:
    assert numbers(reader.trials(filled())) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("direction", "order"),
    [("min", [5, 1, 4, 2, 3, 6, 7, 8]), ("max", [2, 1, 4, 5, 3, 6, 7, 8])],
)
def test_trials_come_by_score_the_best_first_and_those_without_last(
    filled, reader: JobReader, direction: str, order: list[int]
) -> None:
    job = filled(direction)
    assert numbers(reader.trials(job, sort="score")) == order
    assert present(reader.best_trial(job)).number == order[0]


@pytest.mark.parametrize("sort", ["number", "score"])
@pytest.mark.parametrize("direction", ["min", "max"])
@pytest.mark.parametrize("limit", [1, 2, 3, 8, 100])
def test_pages_put_together_are_the_whole_list(
    filled, reader: JobReader, sort: str, direction: str, limit: int
) -> None:
    job = filled(direction)
    whole = numbers(reader.trials(job, sort=sort))
    seen: list[int] = []
    while page := reader.trials(job, sort=sort, limit=limit, after=seen[-1] if seen else None):
        assert len(page) <= limit
        seen += numbers(page)
    assert seen == whole


def test_trials_can_be_chosen_by_state(filled, reader: JobReader) -> None:
    job = filled()
    assert numbers(reader.trials(job, states=["completed"])) == [1, 2, 4, 5]
    assert numbers(reader.trials(job, states=["waiting", "running"])) == [6, 7, 8]
    assert numbers(reader.trials(job, sort="score", states=["completed"], after=4)) == [2]
    assert reader.trials(job, states=["cancelled"]) == []


def test_a_trial_is_read_as_it_was_written(filled, reader: JobReader) -> None:
    job = filled()
    trial = reader.trial(job, 2)
    assert trial.state == TrialState.COMPLETED
    assert trial.score == 0.9
    assert trial.values["learning_rate"] == 0.002
    assert present(trial.result)["metrics"] == {"loss": 0.9}
    assert trial.seconds == 2.0
    assert present(trial.started) <= present(trial.finished)
    failed = reader.trial(job, 3)
    assert (failed.failure_kind, failed.failure_message) == ("diverged", "too fast")
    assert failed.score is None
    assert failed.result == {"history": {"loss": [None]}}


def test_an_unknown_trial_is_not_found(filled, reader: JobReader) -> None:
    job = filled()
    with pytest.raises(NotFound, match="trial 99"):
        reader.trial(job, 99)
    with pytest.raises(NotFound, match="trial 99"):
        reader.trials(job, sort="score", after=99)


def test_progress_counts_trials_and_estimates_the_end(
    filled, reader: JobReader, database: Database
) -> None:
    job = filled()
    counts = {"total": 10, "completed": 4, "running": 1, "failed": 1, "stopped": 0}
    assert reader.with_progress(job).progress == Progress(**counts, eta_seconds=10.0)
    two_slots = JobReader(database, slots=2)
    assert two_slots.with_progress(job).progress == Progress(**counts, eta_seconds=5.0)


def test_nothing_is_estimated_before_the_first_trial_ended(queued, reader: JobReader) -> None:
    job = queued(10)
    assert reader.with_progress(job).progress == Progress(10, 0, 0, 0, 0, None)
    assert reader.best_trial(job) is None
    assert reader.trials(job) == []


def test_the_end_is_never_estimated_for_the_past(filled, reader: JobReader) -> None:
    job = replace(filled(), planned_trials=3)
    assert present(reader.with_progress(job).progress).eta_seconds == 0.0


def test_a_job_without_a_score_has_no_best_trial(queued, claim, reader: JobReader) -> None:
    queued()
    job, held = claim()
    propose(held, 2)
    assert reader.best_trial(job) is None


def test_trials_of_other_jobs_do_not_mix_in(filled, queued, reader: JobReader) -> None:
    filled()
    other = queued()
    assert reader.trials(other) == []
    assert present(reader.with_progress(other).progress).completed == 0


def test_jobs_come_newest_first_in_pages(queued, reader: JobReader) -> None:
    made = [queued().id for _ in range(5)]
    first = [job.id for job in reader.page(2)]
    second = [job.id for job in reader.page(2, after=first[-1])]
    third = [job.id for job in reader.page(2, after=second[-1])]
    assert first + second + third == made[::-1]
    assert reader.page(2, after=third[-1]) == []


def test_jobs_can_be_chosen_by_state(queued, commands: JobCommands, reader: JobReader) -> None:
    waiting, paused = queued().id, queued().id
    commands.pause(paused)
    assert [job.id for job in reader.page(9, state="queued")] == [waiting]
    assert [job.id for job in reader.page(9, state="paused")] == [paused]
    assert reader.page(9, state="succeeded") == []


def test_a_page_after_an_unknown_job_is_not_found(reader: JobReader) -> None:
    with pytest.raises(NotFound, match="job 'job_nowhere'"):
        reader.page(2, after="job_nowhere")
