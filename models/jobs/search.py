"""The search of one job: which trial is next, and what its result means for the rest."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from models.jobs.ledger import Ledger
from models.jobs.lifecycle import TrialState
from models.jobs.pruning import FIRST_RUN, Pruner
from models.jobs.records import Job, Trial, TrialRef
from models.jobs.reuse import carried_over, copy_weights, training_digest
from models.oracles.create import create_oracle
from models.oracles.oracle import Oracle, Told
from models.oracles.strategy import Hyperband
from models.store.artifacts import Artifacts
from models.trials.spec import DataRef, Failure, FailureKind, TrialResult, TrialSpec
from models.trials.trainer import EpochReport

MAX_RETRIES = 1  # a trial lost with its process may have been a victim of another one
# Steps without a training in one `next_trial`, so that other jobs and requests get their turn.
_STEPS = 1000
_DONE = (TrialState.COMPLETED, TrialState.STOPPED)


class Search:
    """Asks the oracle, keeps the budget and writes every step to the ledger.

    It is built anew from the database when a worker takes the job up, and goes on from the last
    committed trial. It trains nothing itself. Not thread-safe: oracles must stay in one thread.
    """

    def __init__(self, job: Job, ledger: Ledger, artifacts: Artifacts) -> None:
        self._job = job
        self._spec = job.spec
        self._ledger = ledger
        self._artifacts = artifacts
        self._trials: dict[int, Trial] = {}
        self._waiting: deque[int] = deque()
        self._digests: dict[int, str] = {}
        self._running: dict[str, int] = {}  # digest -> trial
        self._done: dict[str, int] = {}  # digest -> trial with that result
        self._failures = 0
        self._best: Trial | None = None
        self._pruner = Pruner(job.spec.pruning, job.spec.objective) if job.spec.pruning else None
        for trial in ledger.trials():
            self._take_up(trial)
        self._oracle = self._restore_oracle(job.oracle_state)
        if self._pruner is not None:
            self._restore_pruner(self._pruner)
        self._clock = _Stopwatch(job.seconds)

    def _take_up(self, trial: Trial) -> None:
        if trial.state == TrialState.RUNNING:
            self._ledger.hand_back(trial.number, retry=False)
            trial = replace(trial, state=TrialState.WAITING)
        self._trials[trial.number] = trial
        if trial.state == TrialState.WAITING:
            self._waiting.append(trial.number)
        elif trial.state == TrialState.FAILED:
            self._failures += 1
        elif trial.state in _DONE:
            self._done.setdefault(self._digest(trial), trial.number)
            self._best = self._better(self._best, trial)

    def _restore_oracle(self, state: dict[str, Any] | None) -> Oracle:
        spec = self._spec
        return create_oracle(
            spec.strategy,
            spec.space,
            spec.objective.direction,
            spec.seed,
            spec.budget.max_trials,
            spec.budget.epochs,
            state=state,
            history=[_told(trial) for trial in self._trials.values()],
        )

    def take_changes(self, job: Job) -> None:
        """Take in what the user changed since: the budget of `job`, and trials that were given."""
        if job.spec != self._spec:
            self._spec = job.spec
            self._oracle = self._restore_oracle(self._oracle.state())
        for trial in self._ledger.trials():
            if trial.number not in self._trials:
                self._take_up(trial)
                self._oracle.learn(_told(trial))

    def _restore_pruner(self, pruner: Pruner) -> None:
        runs = self._ledger.runs()
        for number, trial in self._trials.items():
            if trial.state not in _DONE:
                continue
            if trial.reused_from is not None:
                curve = _only_curve(trial.stored_result(), pruner.metric)
            else:
                curve = runs.get(number, {}).get(FIRST_RUN, {}).get(pruner.metric, [])
            pruner.observe(number, curve)
            if trial.state == TrialState.COMPLETED:
                pruner.complete(number)

    @property
    def seconds(self) -> float:
        """Seconds searched so far, by every worker that held the job."""
        return self._clock.seconds

    @property
    def best(self) -> Trial | None:
        """The best scored trial, the earlier of equals; a stopped one only where none completed."""
        return self._best

    @property
    def last_failure(self) -> str | None:
        """The newest failure, for the error of a job in which nothing worked."""
        failed = [trial for trial in self._trials.values() if trial.failure_kind]
        if not failed:
            return None
        last = max(failed, key=lambda trial: trial.number)
        return f"{last.failure_kind}: {last.failure_message}"

    def next_trial(self) -> TrialSpec | None:
        """Mark the next trial as running and answer it; None when there is none right now."""
        for _ in range(_STEPS):
            number = self._pick_waiting()
            if number is None:
                if not self._ask():
                    return None
                continue
            trial = self._trials[number]
            if self._reuse(trial):
                if self.stop_reason() is not None:
                    return None
                continue
            self._ledger.start(number)
            self._running[self._digest(trial)] = number
            self._set(number, state=TrialState.RUNNING)
            return self.spec_of(trial)
        return None

    def stop_reason(self) -> str | None:
        """Why the search must end now, or None while it may go on."""
        budget = self._spec.budget
        if self._reaches_target():
            return "target"
        if budget.max_seconds is not None and self.seconds >= budget.max_seconds:
            return "max_seconds"
        if self._failures >= budget.max_failed_trials:
            return "max_failed_trials"
        if self._waiting or self._running:
            return None
        own = sum(not trial.is_given for trial in self._trials.values())
        if budget.max_trials is not None and own >= budget.max_trials:
            return "max_trials"
        return "exhausted" if self._oracle.finished else None

    def reported(self, told: Mapping[int, Sequence[EpochReport]]) -> list[int]:
        """Running trials have trained some epochs more; answer those that are hopeless."""
        self._ledger.report(told)
        pruner = self._pruner
        if pruner is None:
            return []
        return [
            number
            for number, reports in told.items()
            if pruner.observe(
                number,
                [r.logs[pruner.metric] for r in reports if (r.fold, r.execution) == FIRST_RUN],
            )
        ]

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
        self._oracle.tell(trial.key, None)
        self._ledger.fail(number, failure, result, self._oracle.state(), self.seconds)
        self._set(
            number,
            state=TrialState.FAILED,
            failure_kind=str(failure.kind),
            failure_message=failure.message,
        )
        self._failures += 1
        self._artifacts.delete(self.weights_of(trial))

    def hand_back(self, number: int) -> None:
        """A running trial was interrupted through no fault of its own; it waits again."""
        self._ledger.hand_back(number, retry=False)
        self._set(number, state=TrialState.WAITING)
        self._waiting.append(number)

    def drop_weights_but_best(self) -> None:
        """Remove the weights of every trial but the best, once none can be continued."""
        for trial in self._trials.values():
            if trial.state in _DONE and trial.number != (self._best and self._best.number):
                self._artifacts.delete(self.weights_of(trial))

    def data(self) -> DataRef:
        """Which rows the trials of this job train on."""
        assert self._job.dataset is not None
        return self._spec.data(self._job.dataset, self._artifacts.root)

    def weights_of(self, trial: Trial) -> str:
        """Where the best weights of a trial lie, if they do, below the artifact root."""
        return f"jobs/{self._job.id}/trials/{trial.number}"

    def _ask(self) -> bool:
        """Ask the oracle for one more trial; whether it gave one."""
        if self._oracle.finished:
            return False
        proposals = self._oracle.ask(1)
        if not proposals:
            return False
        rows = self._ledger.propose(proposals, self._spec.budget.epochs, self._oracle.state())
        for row in rows:
            self._trials[row.number] = row
            self._waiting.append(row.number)
        return True

    def _pick_waiting(self) -> int | None:
        """The first waiting trial whose values are not being trained at this moment."""
        for number in self._waiting:
            if self._digest(self._trials[number]) not in self._running:
                self._waiting.remove(number)
                return number
        return None

    def _reuse(self, trial: Trial) -> bool:
        """Answer a trial by an equal one of this job or another; whether there is one."""
        found = self._equal(trial)
        if found is None:
            return False
        reference, source = found
        result = carried_over(source, self._spec.objective, self.weights_of(trial))
        if result is None:
            return False
        copy_weights(self._artifacts, source, result)
        self._settle(trial, result, reference)
        return True

    def _equal(self, trial: Trial) -> tuple[TrialRef, Trial] | None:
        digest = self._digest(trial)
        number = self._done.get(digest)
        if number is not None:
            return TrialRef(self._job.id, number), self._ledger.trial(number)
        return self._ledger.equal_elsewhere(digest) if self._spec.reuse else None

    def _settle(self, trial: Trial, result: TrialResult, source: TrialRef | None = None) -> None:
        digest = self._digest(trial)
        self._oracle.tell(trial.key, result.score)
        self._ledger.complete(
            trial.number, result, self._oracle.state(), self.seconds, digest, source
        )
        state = TrialState.STOPPED if result.stopped else TrialState.COMPLETED
        trial = self._set(trial.number, state=state, score=result.score)
        if self._pruner is not None:
            if source is not None:
                self._pruner.observe(trial.number, _only_curve(result, self._pruner.metric))
            if not result.stopped:
                self._pruner.complete(trial.number)
        self._done.setdefault(digest, trial.number)
        self._keep_best(trial)

    def _set(self, number: int, **changes: Any) -> Trial:
        trial = replace(self._trials[number], **changes)
        self._trials[number] = trial
        if trial.state != TrialState.RUNNING:
            self._running.pop(self._digest(trial), None)
        if self._pruner is not None and trial.state not in (TrialState.RUNNING, *_DONE):
            self._pruner.forget(number)
        return trial

    def spec_of(self, trial: Trial) -> TrialSpec:
        """The trial as the process that trains it is told."""
        spec, parent = self._spec, self._parent(trial)
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

    def _parent(self, trial: Trial) -> Trial | None:
        """The trial that `trial` goes on from, unless that has come to nothing."""
        parent = self._trials.get(trial.parent) if trial.parent else None
        return parent if parent is not None and parent.state in _DONE else None

    def _digest(self, trial: Trial) -> str:
        """Equal for trials that would be trained alike."""
        if trial.number not in self._digests:
            assert self._job.dataset is not None
            parent = self._parent(trial)
            self._digests[trial.number] = training_digest(
                self._spec,
                self._job.dataset,
                trial.values,
                trial.epochs,
                trial.initial_epoch if parent else 0,
                self._digest(parent) if parent else None,
            )
        return self._digests[trial.number]

    def _keep_best(self, trial: Trial) -> None:
        """Drop weights that nobody needs: all but the best trial's, or those Hyperband may use."""
        former = self._best
        self._best = self._better(former, trial)
        if isinstance(self._spec.strategy, Hyperband):
            return
        loser = former if self._best is trial else trial
        if loser is not None:
            self._artifacts.delete(self.weights_of(loser))

    def _better(self, one: Trial | None, other: Trial) -> Trial:
        if one is None or one.score is None or other.score is None:
            return other if one is None or one.score is None else one
        if one.state != other.state:
            # A stopped trial was judged by less than one that completed: it wins only without any.
            return one if one.state == TrialState.COMPLETED else other
        if self._spec.objective.direction == "min":
            return other if other.score < one.score else one
        return other if other.score > one.score else one

    def _reaches_target(self) -> bool:
        target = self._spec.budget.target
        if target is None or self._best is None or self._best.score is None:
            return False
        if self._spec.objective.direction == "min":
            return self._best.score <= target
        return self._best.score >= target


class _Stopwatch:
    """Seconds since it was made, added to those that were spent before."""

    def __init__(self, spent: float) -> None:
        self._spent = spent
        self._begin = time.monotonic()

    @property
    def seconds(self) -> float:
        return self._spent + time.monotonic() - self._begin


def _told(trial: Trial) -> Told:
    return Told(trial.key, trial.values, trial.score, running=not trial.state.is_final)


def _only_curve(result: TrialResult, metric: str) -> list[float | None]:
    """The curve of a trial that was taken over and told nothing: its history, if of one run."""
    return (result.history or {}).get(metric, []) if len(result.folds) == 1 else []
