"""The search of one job: asks the oracle, keeps the budget, and records every step."""

import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace
from functools import partial
from typing import Any

from models.errors import Unreadable
from models.jobs.front import front_of, losses
from models.jobs.model import Job, Trial, TrialRef, TrialState
from models.jobs.pruning import FIRST_RUN, Pruner
from models.jobs.search.oracle_thread import InlineExecutor, OracleThread, observation_of
from models.jobs.search.reuse import EqualTrials, copy_weights, reused_result
from models.jobs.store.held_job import HeldJob
from models.jobs.store.rows import SCORED
from models.oracles.create import create_oracle
from models.oracles.strategy import Hyperband
from models.store.artifacts import Artifacts
from models.trials.spec import DataRef, Failure, FailureKind, TrialResult, TrialSpec
from models.trials.trainers.base import EpochReport

MAX_RETRIES = 1  # of a trial lost with its process, which another one may have caused
# Steps without a training in one `next_trial`, so that other jobs and requests get their turn.
_STEPS = 200
_DIED = Failure(FailureKind.LOST, "Its worker died each time that it ran.")


class Search:
    """Proposes trials and takes their results; it trains nothing itself.

    A worker that claims the job builds it and calls `resume`, which goes on from the last committed
    trial. Not thread-safe; the oracle works in `thread`, which runs one thing at a time.
    """

    def __init__(
        self, job: Job, held: HeldJob, artifacts: Artifacts, thread: Executor | None = None
    ) -> None:
        self._job = job
        self._spec = job.spec
        self._held = held
        self._artifacts = artifacts
        self._thread = thread or InlineExecutor()
        self._trials: dict[int, Trial] = {}
        self._waiting: deque[int] = deque()
        self._equal = EqualTrials(job, held, self._trials)
        self._own = 0  # trials that the oracle proposed
        self._failures = 0
        self._pruner = Pruner(job.spec.pruning, job.spec.objective)
        self._started: float | None = None  # by the monotonic clock; None until the oracle is made
        self._oracle = self._oracle_thread(job.oracle_state or {})
        self._front: list[Trial] = []  # as `models.jobs.front` says; the best one is first

    def resume(self, training: Collection[int] | None = None) -> None:
        """Read the trials that there are, restore the oracle, and go on from there.

        `training` are the numbers of trials that this worker trains; None after a claim. Then the
        worker before is dead, and what it trained is lost.
        """
        with self._held.batch():
            for trial in self._held.trials():
                if trial.state != TrialState.RUNNING or trial.number in (training or ()):
                    self._add(trial)
                elif training is None:
                    self._add(self._lost_with_worker(trial))
                else:  # it was about to begin
                    self._held.requeue(trial.number, retry=False)
                    self._add(replace(trial, state=TrialState.WAITING))
        self._oracle = self._oracle_thread(self._job.oracle_state or {})
        self._oracle.start()
        self.take_proposals()
        if self._pruner.needs_curves:
            self._restore_curves()

    def _add(self, trial: Trial) -> None:
        self._trials[trial.number] = trial
        self._own += not trial.is_enqueued
        if trial.state == TrialState.WAITING:
            self._waiting.append(trial.number)
        elif trial.state == TrialState.FAILED:
            self._failures += 1
        elif trial.state == TrialState.RUNNING:
            self._equal.note(trial)
        elif trial.state in SCORED:
            self._equal.note(trial)
            self._offer(trial)

    def _lost_with_worker(self, trial: Trial) -> Trial:
        """Retry a trial whose worker died while it ran, or fail it as a possible cause."""
        if trial.retries < MAX_RETRIES:
            self._held.requeue(trial.number, retry=True)
            return replace(trial, state=TrialState.WAITING, retries=trial.retries + 1)
        state = self._oracle.state
        self._held.fail(trial.number, _DIED, None, state, self._job.seconds, is_progress=False)
        self._drop_weights(trial)
        return _failed(trial, _DIED)

    def _oracle_thread(self, state: Mapping[str, Any]) -> OracleThread:
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
            history=[observation_of(trial, spec.objectives) for trial in self._trials.values()],
        )
        return OracleThread(make, self._thread, state)

    def _restore_curves(self) -> None:
        runs = self._held.runs()
        for trial in self._trials.values():
            if trial.state not in (TrialState.RUNNING, *SCORED) or trial.fits is False:
                continue
            first = runs.get(trial.number, {}).get(FIRST_RUN)
            if first is not None:
                self._pruner.restore(trial.number, first)
            elif trial.state in SCORED:  # reused, or from before the job last ended
                self._pruner.add_reused(trial.number, trial.stored_result())
            if trial.state == TrialState.COMPLETED:
                self._pruner.complete(trial.number)

    def take_changes(self, job: Job) -> None:
        """Apply what the user changed since: the budget of `job`, and enqueued trials."""
        if job.spec != self._spec:
            self.take_proposals(wait=True)
            self._spec = job.spec
            self._oracle = self._oracle_thread(self._oracle.state)
            self._oracle.start()
        known = 1
        while known in self._trials:
            known += 1
        for trial in self._held.trials(known):
            if trial.number not in self._trials:
                self._add(trial)
                self._oracle.learn(observation_of(trial, self._spec.objectives))

    @property
    def best(self) -> Trial | None:
        """The trial that would win now; None while none may."""
        return self._front[0] if self._front else None

    @property
    def seconds(self) -> float:
        """Seconds searched so far, by every worker that held the job."""
        own = 0.0 if self._started is None else time.monotonic() - self._started
        return self._job.seconds + own

    @property
    def awaited(self) -> list[Future[Any]]:
        """Done once the oracle has answered; empty while it is asked nothing."""
        return self._oracle.awaited

    @property
    def last_failure(self) -> str | None:
        """The newest failure, for the error of a job in which every trial failed."""
        failed = [trial for trial in self._trials.values() if trial.failure_kind]
        if not failed:
            return None
        last = max(failed, key=lambda trial: trial.number)
        return f"{last.failure_kind}: {last.failure_message}"

    @property
    def running(self) -> list[int]:
        """The numbers of the trials that are being trained."""
        return [t.number for t in self._trials.values() if t.state == TrialState.RUNNING]

    def look_ahead(self, count: int) -> None:
        """Ask the oracle until `count` trials wait or are on their way."""
        self.take_proposals()
        if (missing := count - len(self._waiting)) > 0:
            self._oracle.ask_for(missing)

    def take_proposals(self, *, wait: bool = False) -> bool:
        """Record the trials that the oracle has proposed by now, or `wait` for all of them.

        Returns whether there were any.
        """
        answers = [a for a in self._oracle.answers(wait_for_all=wait) if a.proposals]
        for answer in answers:
            rows = self._held.propose(answer.proposals, self._spec.budget.epochs, answer.state)
            for row in rows:
                self._trials[row.number] = row
                self._waiting.append(row.number)
            self._own += len(rows)
        if self._oracle.is_ready and self._started is None:
            # The seconds that the oracle's libraries take to load are not part of the search.
            self._started = time.monotonic()
        return bool(answers)

    def next_trials(self, limit: int) -> list[TrialSpec]:
        """Start up to `limit` trials; fewer where the budget or the oracle has no more."""
        following: list[TrialSpec] = []
        while len(following) < limit and self.stop_reason() is None:
            spec = self.next_trial()
            if spec is None:
                break
            following.append(spec)
        return following

    def next_trial(self) -> TrialSpec | None:
        """Mark the next trial as running and return it; None when there is none right now."""
        for _ in range(_STEPS):
            number = self._pick_waiting()
            if number is None:
                return None
            trial = self._trials[number]
            if self._reuse(trial):
                if self.stop_reason() is not None:
                    return None
                continue
            self._held.start(number)
            self._set(number, state=TrialState.RUNNING)
            return replace(self.spec_of(trial), to_beat=self._to_beat)
        return None

    @property
    def _to_beat(self) -> float | None:
        """A score whose losers' weights are not needed.

        None where Hyperband may continue them, or another objective may need them.
        """
        best = self.best
        if best is None or best.state != TrialState.COMPLETED or self._spec.other_objectives:
            return None
        return None if isinstance(self._spec.strategy, Hyperband) else best.score

    def stop_reason(self) -> str | None:
        """Return why the search must end now, or None while it may go on."""
        budget = self._spec.budget
        if self._reaches(budget.target_score):
            return "target"
        if budget.max_seconds is not None and self.seconds >= budget.max_seconds:
            return "max_seconds"
        if self._failures >= budget.max_failed_trials:
            return "max_failed_trials"
        if self._waiting or self._equal.any_running:
            return None
        if budget.max_trials is not None and self._own >= budget.max_trials:
            return "max_trials"
        return "exhausted" if self._oracle.finished and not self._oracle.pending else None

    def _reaches(self, target: float | None) -> bool:
        if target is None or self.best is None or self.best.score is None:
            return False
        return not self._spec.objective.is_better(target, self.best.score)

    def reported(self, reported: Mapping[int, Sequence[EpochReport]]) -> list[int]:
        """Record epochs of running trials; return the trials that are hopeless."""
        self._held.report(reported)
        return self._pruner.observe(reported)

    def completed(self, number: int, result: TrialResult) -> None:
        """Record the result of a trial that was trained, to its end or until it was stopped."""
        if result.failure is not None:
            self.failed(number, result.failure, result)
            return
        self._settle(self._trials[number], result)

    def failed(self, number: int, failure: Failure, result: TrialResult | None = None) -> None:
        """Record that a trial failed; one that was lost with its process is retried once."""
        trial = self._trials[number]
        if failure.kind == FailureKind.LOST and trial.retries < MAX_RETRIES:
            self._held.requeue(number, retry=True)
            self._set(number, state=TrialState.WAITING, retries=trial.retries + 1)
            self._waiting.append(number)
            return
        self._oracle.tell(trial.key, None)
        self._held.fail(number, failure, result, self._oracle.state, self.seconds)
        self._replace(_failed(trial, failure))
        self._failures += 1
        self._drop_weights(trial)

    def requeue(self, number: int) -> None:
        """Let a running trial that was interrupted wait again, without counting a retry."""
        self._held.requeue(number, retry=False)
        self._set(number, state=TrialState.WAITING)
        self._waiting.append(number)

    def drop_weights_but_best(self) -> None:
        """Remove the weights of every trial that is not on the front; none can be continued."""
        kept = {trial.number for trial in self._front}
        for trial in self._trials.values():
            if trial.state in SCORED and trial.number not in kept:
                self._artifacts.try_delete(self.weights_of(trial.number))

    def data(self) -> DataRef:
        """Return which rows the trials of this job train on."""
        assert self._job.dataset is not None
        return self._spec.data(self._job.dataset, self._artifacts.root)

    def weights_of(self, number: int) -> str:
        """Return the folder, below the artifact root, for the best weights of a trial."""
        return f"jobs/{self._job.id}/trials/{number}"

    def _pick_waiting(self) -> int | None:
        """Return the first trial that may be trained now; where there is none, ask the oracle."""
        self.take_proposals()
        for _ in range(_STEPS):
            number = self._first_waiting()
            if number is not None:
                return number
            self._oracle.ask_for(1)
            if not self.take_proposals():
                break
        return None

    def _first_waiting(self) -> int | None:
        """Take the next waiting trial that is not equal to one being trained."""
        for number in self._waiting:
            if not self._equal.is_running(self._trials[number]):
                self._waiting.remove(number)
                return number
        return None

    def _reuse(self, trial: Trial) -> bool:
        """Answer a trial by an equal one of this job or another; return whether there is one."""
        found = self._equal.find(trial)
        if found is None:
            return False
        reference, source = found
        try:
            result = reused_result(source, self._spec, self.weights_of(trial.number))
        except Unreadable:
            result = None
        if result is None:
            return False
        copy_weights(self._artifacts, source, result)
        self._settle(trial, result, reference)
        return True

    def _settle(self, trial: Trial, result: TrialResult, source: TrialRef | None = None) -> None:
        digest = self._equal.digest(trial)
        self._oracle.tell(
            trial.key, result.score, result.violation, losses(self._spec.objectives, result.scores)
        )
        state = self._oracle.state
        self._held.complete(trial.number, result, state, self.seconds, digest, source)
        ended = TrialState.STOPPED if result.stopped else TrialState.COMPLETED
        trial = self._set(
            trial.number,
            state=ended,
            score=result.score,
            violation=result.violation,
            scores=result.scores,
        )
        if source is not None:
            self._pruner.add_reused(trial.number, result)
        if not trial.fits:
            # What may not win sets no standard for the others.
            self._pruner.forget(trial.number)
        elif not result.stopped:
            self._pruner.complete(trial.number)
        worse = self._offer(trial)
        # Hyperband may yet continue any of them.
        if not isinstance(self._spec.strategy, Hyperband):
            for each in worse:
                self._drop_weights(each)

    def _offer(self, trial: Trial) -> list[Trial]:
        """Compare a scored trial with the front; return those of all that are not on it."""
        compared = [*self._front, trial]
        self._front = front_of(self._spec.objectives, compared)
        kept = {each.number for each in self._front}
        return [each for each in compared if each.number not in kept]

    def _drop_weights(self, trial: Trial) -> None:
        folder = self.weights_of(trial.number)
        self._held.on_commit(partial(self._artifacts.try_delete, folder))

    def _set(self, number: int, **changes: Any) -> Trial:
        return self._replace(replace(self._trials[number], **changes))

    def _replace(self, trial: Trial) -> Trial:
        self._trials[trial.number] = trial
        self._equal.note(trial)
        if trial.state not in (TrialState.RUNNING, *SCORED):
            self._pruner.forget(trial.number)
        return trial

    def spec_of(self, trial: Trial) -> TrialSpec:
        """Return what the process that trains the trial is given."""
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
            weights=self.weights_of(trial.number),
            initial_epoch=trial.initial_epoch if parent else 0,
            executions=spec.executions,
            early_stopping=spec.early_stopping,
            parent=self.spec_of(parent) if parent else None,
            other_objectives=spec.other_objectives,
            constraints=spec.constraints,
        )


def _failed(trial: Trial, failure: Failure) -> Trial:
    return replace(
        trial,
        state=TrialState.FAILED,
        failure_kind=str(failure.kind),
        failure_message=failure.message,
    )
