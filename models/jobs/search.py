"""The search of one job: which trial is next, and what its result means for the rest."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace
from functools import partial
from typing import Any

from models.jobs.asking import Asker, Here
from models.jobs.best import Best, TrialWeights
from models.jobs.equal import SCORED, EqualTrials
from models.jobs.judging import Judge
from models.jobs.ledger import Ledger
from models.jobs.lifecycle import TrialState
from models.jobs.order import TrialOrder
from models.jobs.records import Job, Trial, TrialRef
from models.jobs.reuse import carried_over, copy_weights
from models.jobs.stopwatch import Stopwatch
from models.oracles.create import create_oracle
from models.oracles.oracle import Observation
from models.oracles.strategy import Hyperband
from models.space.hyperparameters import TrialValues
from models.store.artifacts import Artifacts
from models.trials.spec import DataRef, Failure, FailureKind, TrialResult, TrialSpec
from models.trials.trainers.base import EpochReport

MAX_RETRIES = 1  # a trial lost with its process may have been a victim of another one
# Steps without a training in one `next_trial`, so that other jobs and requests get their turn.
_STEPS = 200
_DIED = Failure(FailureKind.LOST, "Its worker died each time that it ran.")


class Search:
    """Asks the oracle, keeps the budget and writes every step to the ledger.

    It is built anew from the database when a worker takes the job up, and goes on from the last
    committed trial. It trains nothing itself. Not thread-safe; the oracle works in `thread`, which
    runs one thing at a time.
    """

    def __init__(
        self,
        job: Job,
        ledger: Ledger,
        artifacts: Artifacts,
        thread: Executor | None = None,
        seconds: Callable[[TrialValues], float] = lambda values: 0.0,
    ) -> None:
        """`seconds` is about how long a trial of some values takes."""
        self._job = job
        self._spec = job.spec
        self._ledger = ledger
        self._artifacts = artifacts
        self._weights = TrialWeights(job.id, artifacts)
        self._thread = thread or Here()
        self._trials: dict[int, Trial] = {}
        self._waiting: deque[int] = deque()
        self._seconds = seconds
        self._order = TrialOrder(job.spec, seconds)
        self._equal = EqualTrials(job, ledger, self._trials)
        self._own = 0  # trials that the oracle proposed
        self._failures = 0
        self._best = Best(job.spec.objective)
        self._judge = Judge(job.spec)
        with ledger.batch():
            for trial in ledger.trials():
                self._take_up(trial, job.oracle_state or {})
        self._clock = Stopwatch(job.seconds)
        self._asker = self._make_asker(job.oracle_state or {})
        self.take_proposals()
        if self._judge.needs_curves:
            scored = [trial for trial in self._trials.values() if trial.state in SCORED]
            self._judge.restore(scored, ledger.runs())

    def _take_up(self, trial: Trial, oracle_state: dict[str, Any]) -> None:
        if trial.state == TrialState.RUNNING:
            trial = self._left_running(trial, oracle_state)
        self._trials[trial.number] = trial
        self._own += not trial.is_given
        if trial.state == TrialState.WAITING:
            self._waiting.append(trial.number)
        elif trial.state == TrialState.FAILED:
            self._failures += 1
        elif trial.state in SCORED:
            self._equal.note(trial)
            self._best.offer(trial)

    def _left_running(self, trial: Trial, oracle_state: dict[str, Any]) -> Trial:
        """A worker died over this trial, which may have been the cause, as of a lost process."""
        if trial.retries < MAX_RETRIES:
            self._ledger.hand_back(trial.number, retry=True)
            return replace(trial, state=TrialState.WAITING, retries=trial.retries + 1)
        self._ledger.fail(trial.number, _DIED, None, oracle_state, self._job.seconds)
        return replace(
            trial,
            state=TrialState.FAILED,
            failure_kind=str(_DIED.kind),
            failure_message=_DIED.message,
        )

    def _make_asker(self, state: dict[str, Any]) -> Asker:
        spec = self._spec
        make = partial(
            create_oracle,
            spec.strategy,
            spec.space,
            spec.objective.direction,
            spec.seed,
            spec.budget.max_trials,
            spec.budget.epochs,
            state=state,
            history=[_told(trial) for trial in self._trials.values()],
        )
        return Asker(make, self._thread, state)

    def take_changes(self, job: Job) -> None:
        """Take in what the user changed since: the budget of `job`, and trials that were given."""
        if job.spec != self._spec:
            self.take_proposals(all_of_them=True)
            self._spec = job.spec
            self._order = TrialOrder(job.spec, self._seconds)
            self._asker = self._make_asker(self._asker.state)
        known = 1
        while known in self._trials:
            known += 1
        for trial in self._ledger.trials(known):
            if trial.number not in self._trials:
                self._take_up(trial, self._asker.state)
                self._asker.learn(_told(trial))

    @property
    def seconds(self) -> float:
        """Seconds searched so far, by every worker that held the job."""
        return self._clock.seconds

    @property
    def best(self) -> Trial | None:
        """The best scored trial, the earlier of equals; a stopped one only where none completed."""
        return self._best.trial

    @property
    def awaited(self) -> list[Future[Any]]:
        """Done once the oracle has answered; empty while it is asked nothing."""
        return self._asker.awaited

    @property
    def last_failure(self) -> str | None:
        """The newest failure, for the error of a job in which nothing worked."""
        failed = [trial for trial in self._trials.values() if trial.failure_kind]
        if not failed:
            return None
        last = max(failed, key=lambda trial: trial.number)
        return f"{last.failure_kind}: {last.failure_message}"

    def look_ahead(self, count: int) -> None:
        """Ask the oracle until `count` trials wait to be trained or are on their way."""
        self.take_proposals()
        if (missing := count - len(self._waiting)) > 0:
            self._asker.ask_for(max(missing, self._order.missing(self._own)))

    def take_proposals(self, *, all_of_them: bool = False) -> bool:
        """Write down the trials that the oracle has proposed by now, or all it was asked for.

        Whether there were any.
        """
        answers = [a for a in self._asker.answers(all_of_them=all_of_them) if a.proposals]
        for answer in answers:
            rows = self._ledger.propose(answer.proposals, self._spec.budget.epochs, answer.state)
            for row in rows:
                self._trials[row.number] = row
                self._waiting.append(row.number)
            self._own += len(rows)
        if self._asker.is_ready:
            # The seconds that the oracle's libraries take to load are no searching.
            self._clock.start()
        return bool(answers)

    def next_trial(self) -> TrialSpec | None:
        """Mark the next trial as running and answer it; None when there is none right now."""
        for _ in range(_STEPS):
            number = self._pick_waiting()
            if number is None:
                return None
            trial = self._trials[number]
            if self._reuse(trial):
                if self.stop_reason() is not None:
                    return None
                continue
            self._ledger.start(number)
            self._set(number, state=TrialState.RUNNING)
            return replace(self.spec_of(trial), to_beat=self._to_beat)
        return None

    def next_trials(self, most: int) -> list[TrialSpec]:
        """Start up to `most` trials, fewer where the budget or the oracle has no more."""
        following: list[TrialSpec] = []
        while len(following) < most and self.stop_reason() is None:
            spec = self.next_trial()
            if spec is None:
                break
            following.append(spec)
        return following

    @property
    def _to_beat(self) -> float | None:
        """A score whose losers' weights are of no use; none where Hyperband may go on with them."""
        best = self.best
        if best is None or best.state != TrialState.COMPLETED:
            return None
        return None if isinstance(self._spec.strategy, Hyperband) else best.score

    def stop_reason(self) -> str | None:
        """Why the search must end now, or None while it may go on."""
        budget = self._spec.budget
        if self._best.reaches(budget.target):
            return "target"
        if budget.max_seconds is not None and self.seconds >= budget.max_seconds:
            return "max_seconds"
        if self._failures >= budget.max_failed_trials:
            return "max_failed_trials"
        if self._waiting or self._equal.any_running:
            return None
        if budget.max_trials is not None and self._own >= budget.max_trials:
            return "max_trials"
        return "exhausted" if self._asker.finished and not self._asker.pending else None

    def reported(self, told: Mapping[int, Sequence[EpochReport]]) -> list[int]:
        """Running trials have trained some epochs more; answer those that are hopeless."""
        self._ledger.report(told)
        return self._judge.observe(told)

    def completed(self, number: int, result: TrialResult) -> None:
        """A trial was trained, or stopped before its end; write its score, or why it has none."""
        if result.failure is not None:
            self.failed(number, result.failure, result)
            return
        self._settle(self._trials[number], result)

    def failed(self, number: int, failure: Failure, result: TrialResult | None = None) -> None:
        """A trial has no score; one that was lost with its process is tried once more."""
        trial = self._trials[number]
        if failure.kind == FailureKind.LOST and trial.retries < MAX_RETRIES:
            self._ledger.hand_back(number, retry=True)
            self._set(number, state=TrialState.WAITING, retries=trial.retries + 1)
            self._waiting.append(number)
            return
        self._asker.tell(trial.key, None)
        self._ledger.fail(number, failure, result, self._asker.state, self.seconds)
        self._set(
            number,
            state=TrialState.FAILED,
            failure_kind=str(failure.kind),
            failure_message=failure.message,
        )
        self._failures += 1
        self._drop_weights(trial)

    def hand_back(self, number: int) -> None:
        """A running trial was interrupted through no fault of its own; it waits again."""
        self._ledger.hand_back(number, retry=False)
        self._set(number, state=TrialState.WAITING)
        self._waiting.append(number)

    def drop_weights_but_best(self) -> None:
        """Remove the weights of every trial but the best, once none can be continued."""
        for trial in self._trials.values():
            if trial.state in SCORED and trial.number != (self.best and self.best.number):
                self._weights.drop(trial)

    def data(self) -> DataRef:
        """Which rows the trials of this job train on."""
        assert self._job.dataset is not None
        return self._spec.data(self._job.dataset, self._artifacts.root)

    def weights_of(self, trial: Trial) -> str:
        """Where the best weights of a trial lie, if they do, below the artifact root."""
        return self._weights.folder(trial)

    def trial(self, number: int) -> Trial:
        """One of the trials, as it stands."""
        return self._trials[number]

    def _pick_waiting(self) -> int | None:
        """The first trial that may be trained now; where there is none, the oracle is asked."""
        self.take_proposals()
        for _ in range(_STEPS):
            number = self._first_waiting()
            if number is not None:
                return number
            self._asker.ask_for(max(1, self._order.missing(self._own)))
            if not self.take_proposals():
                break
        return None

    def _first_waiting(self) -> int | None:
        """The next waiting trial whose values are not being trained at this moment."""
        for number in self._order.sort(self._waiting, self._trials):
            if not self._equal.are_running(self._trials[number]):
                self._waiting.remove(number)
                return number
        return None

    def _reuse(self, trial: Trial) -> bool:
        """Answer a trial by an equal one of this job or another; whether there is one."""
        found = self._equal.find(trial)
        if found is None:
            return False
        reference, source = found
        result = carried_over(source, self._spec.objective, self.weights_of(trial))
        if result is None:
            return False
        copy_weights(self._artifacts, source, result)
        self._settle(trial, result, reference)
        return True

    def _settle(self, trial: Trial, result: TrialResult, source: TrialRef | None = None) -> None:
        digest = self._equal.digest(trial)
        self._asker.tell(trial.key, result.score)
        self._ledger.complete(trial.number, result, self._asker.state, self.seconds, digest, source)
        state = TrialState.STOPPED if result.stopped else TrialState.COMPLETED
        trial = self._set(trial.number, state=state, score=result.score)
        if source is not None:
            self._judge.taken_over(trial.number, result)
        if not result.stopped:
            self._judge.completed(trial.number)
        worse = self._best.offer(trial)
        # Hyperband may yet go on with any of them.
        if worse is not None and not isinstance(self._spec.strategy, Hyperband):
            self._drop_weights(worse)

    def _drop_weights(self, trial: Trial) -> None:
        self._ledger.afterwards(partial(self._weights.drop, trial))

    def _set(self, number: int, **changes: Any) -> Trial:
        trial = replace(self._trials[number], **changes)
        self._trials[number] = trial
        self._equal.note(trial)
        if trial.state not in (TrialState.RUNNING, *SCORED):
            self._judge.forget(number)
        return trial

    def spec_of(self, trial: Trial) -> TrialSpec:
        """The trial as the process that trains it is told."""
        spec, parent = self._spec, self._equal.parent(trial)
        return TrialSpec(
            job=self._job.id,
            number=trial.number,
            network=spec.network,
            values=trial.values,
            data=self.data(),
            objective=spec.objective,
            epochs=trial.epochs,
            seed=spec.seed,
            weights=self.weights_of(trial),
            initial_epoch=trial.initial_epoch if parent else 0,
            executions=spec.executions,
            early_stopping=spec.early_stopping,
            parent=self.spec_of(parent) if parent else None,
        )


def _told(trial: Trial) -> Observation:
    return Observation(trial.key, trial.values, trial.score, running=not trial.state.is_final)
