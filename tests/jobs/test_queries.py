from collections.abc import Callable

import pytest

from models.errors import NotFound
from models.jobs.ledger import Ledger
from models.jobs.lifecycle import TrialState
from models.jobs.queries import JobQueries
from models.jobs.records import Job, Progress
from models.jobs.requests import JobRequests
from models.trials.spec import Failure, FailureKind
from tests.jobs.steps import propose, scored

pytestmark = pytest.mark.both_databases

# By number: 1 and 4 tie, 3 failed, 6 runs, 7 and 8 wait.
SCORES = {1: 0.5, 2: 0.9, 4: 0.5, 5: 0.1}


@pytest.fixture
def filled(queued, claim) -> Callable[..., Job]:
    """A job of ten planned trials, of which eight are there in different states."""

    def fill(direction: str = "min") -> Job:
        queued(10, direction=direction)
        job, ledger = claim()
        _fill(ledger)
        return job

    return fill


def _fill(ledger: Ledger) -> None:
    propose(ledger, 8)
    for number in range(1, 7):
        ledger.start(number)
        if number in SCORES:
            ledger.complete(number, scored(SCORES[number]), {}, 1.0)
    ledger.fail(3, Failure(FailureKind.DIVERGED, "too fast"), scored(None), {}, 1.0)


def numbers(found) -> list[int]:
    return [trial.number for trial in found]


def test_trials_come_by_number(filled, queries: JobQueries) -> None:
    assert numbers(queries.trials(filled())) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("direction", "order"),
    [("min", [5, 1, 4, 2, 3, 6, 7, 8]), ("max", [2, 1, 4, 5, 3, 6, 7, 8])],
)
def test_trials_come_by_score_the_best_first_and_those_without_last(
    filled, queries: JobQueries, direction: str, order: list[int]
) -> None:
    job = filled(direction)
    assert numbers(queries.trials(job, sort="score")) == order
    assert queries.best_trial(job).number == order[0]


@pytest.mark.parametrize("sort", ["number", "score"])
@pytest.mark.parametrize("direction", ["min", "max"])
@pytest.mark.parametrize("limit", [1, 2, 3, 8, 100])
def test_pages_put_together_are_the_whole_list(
    filled, queries: JobQueries, sort: str, direction: str, limit: int
) -> None:
    job = filled(direction)
    whole = numbers(queries.trials(job, sort=sort))
    seen: list[int] = []
    while page := queries.trials(job, sort=sort, limit=limit, after=seen[-1] if seen else None):
        assert len(page) <= limit
        seen += numbers(page)
    assert seen == whole


def test_trials_can_be_chosen_by_state(filled, queries: JobQueries) -> None:
    job = filled()
    assert numbers(queries.trials(job, states=["completed"])) == [1, 2, 4, 5]
    assert numbers(queries.trials(job, states=["waiting", "running"])) == [6, 7, 8]
    assert numbers(queries.trials(job, sort="score", states=["completed"], after=4)) == [2]
    assert queries.trials(job, states=["cancelled"]) == []


def test_a_trial_is_read_as_it_was_written(filled, queries: JobQueries) -> None:
    job = filled()
    trial = queries.trial(job, 2)
    assert trial.state == TrialState.COMPLETED
    assert trial.score == 0.9
    assert trial.values["learning_rate"] == 0.002
    assert trial.result["metrics"] == {"loss": 0.9}
    assert trial.seconds == 2.0
    assert trial.started <= trial.finished
    failed = queries.trial(job, 3)
    assert (failed.failure_kind, failed.failure_message) == ("diverged", "too fast")
    assert failed.score is None
    assert failed.result == {"history": {"loss": [None]}}


def test_an_unknown_trial_is_not_found(filled, queries: JobQueries) -> None:
    job = filled()
    with pytest.raises(NotFound, match="trial 99"):
        queries.trial(job, 99)
    with pytest.raises(NotFound, match="trial 99"):
        queries.trials(job, sort="score", after=99)


def test_progress_counts_trials_and_foretells_the_end(filled, queries: JobQueries) -> None:
    progress = queries.progress(filled())
    assert progress == Progress(
        total=10, completed=4, running=1, failed=1, stopped=0, mean_seconds=2.0
    )
    assert progress.eta_seconds(1) == 10.0
    assert progress.eta_seconds(2) == 5.0


def test_nothing_is_foretold_before_the_first_trial_ended(queued, queries: JobQueries) -> None:
    job = queued(10)
    progress = queries.progress(job)
    assert progress == Progress(10, 0, 0, 0, 0, None)
    assert progress.eta_seconds(2) is None
    assert queries.best_trial(job) is None
    assert queries.trials(job) == []


def test_the_end_is_never_foretold_for_the_past() -> None:
    assert Progress(3, 4, 0, 1, 0, 2.0).eta_seconds(1) == 0.0


def test_a_job_without_a_score_has_no_best_trial(queued, claim, queries: JobQueries) -> None:
    queued()
    job, ledger = claim()
    propose(ledger, 2)
    assert queries.best_trial(job) is None


def test_trials_of_other_jobs_do_not_mix_in(filled, queued, queries: JobQueries) -> None:
    filled()
    other = queued()
    assert queries.trials(other) == []
    assert queries.progress(other).completed == 0


def test_jobs_come_newest_first_in_pages(queued, queries: JobQueries) -> None:
    made = [queued().id for _ in range(5)]
    first = [job.id for job in queries.page(2)]
    second = [job.id for job in queries.page(2, after=first[-1])]
    third = [job.id for job in queries.page(2, after=second[-1])]
    assert first + second + third == made[::-1]
    assert queries.page(2, after=third[-1]) == []


def test_jobs_can_be_chosen_by_state(queued, requests: JobRequests, queries: JobQueries) -> None:
    waiting, paused = queued().id, queued().id
    requests.pause(paused)
    assert [job.id for job in queries.page(9, state="queued")] == [waiting]
    assert [job.id for job in queries.page(9, state="paused")] == [paused]
    assert queries.page(9, state="succeeded") == []


def test_a_page_after_an_unknown_job_is_not_found(queries: JobQueries) -> None:
    with pytest.raises(NotFound, match="job 'job_nowhere'"):
        queries.page(2, after="job_nowhere")
