"""The search of one job: asks the oracle, keeps the budget, and records every step."""

import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace
from functools import partial
from typing import Any

from models.jobs.budget import Spent
from models.jobs.front import MAX_KEPT, kept_of, losses
from models.jobs.model import SCORED, Job, Trial, TrialRef, TrialState
from models.jobs.pruning import FIRST_RUN, Pruner
from models.jobs.search.oracle_thread import (
    InlineExecutor,
    OracleThread,
    observation_of,
    oracle_thread,
)
from models.jobs.search.reuse import EqualTrials
from models.jobs.store.held_job import HeldJob
from models.jobs.store.unit_of_work import OPEN
from models.oracles.strategy import Hyperband
from models.store.artifacts import Artifacts
from models.trials.spec import Failure, FailureKind, TrialResult, TrialSpec
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
        self._started: float | None = None  # by the monotonic clock; None until the oracle is made
        self._forget()

    def _forget(self) -> None:
        self._trials: dict[int, Trial] = {}
        self._waiting: deque[int] = deque()
        self._equal = EqualTrials(self._job, self._held, self._trials)
        self._spent = Spent()
        self._pruner = Pruner(self._spec.pruning, self._spec.monitor, self._spec.start_from_epoch)
        self._oracle = self._restored_oracle(self._job.oracle_state or {})
        # Those whose weights may be needed at the end, as `kept_of` says; the best one is first.
        self.kept: list[Trial] = []

    def resume(self, training: Collection[int] | None = None) -> None:
        """Read the trials that there are, restore the oracle, and go on from there.

        `training` are the numbers of trials that this worker trains; None after a claim. Then the
        worker before is dead, and what it trained is lost.
        """
        with self._held.batch():
            for trial in self._held.trials():
                self._add(self._taken_over(trial, training))
        self._oracle = self._restored_oracle(self._job.oracle_state or {})
        self._oracle.start()
        self.take_proposals()
        if self._pruner.needs_curves:
            self._restore_curves()

    def _add(self, trial: Trial) -> None:
        self._trials[trial.number] = trial
        self._spent.note(None, trial)
        if trial.state == TrialState.WAITING:
            self._waiting.append(trial.number)
        elif trial.state == TrialState.RUNNING:
            self._equal.note(trial)
        elif trial.state in SCORED:
            self._equal.note(trial)
            self._offer(trial)

    def _taken_over(self, trial: Trial, training: Collection[int] | None) -> Trial:
        """Return a stored trial as it goes on from here."""
        is_running = trial.state == TrialState.RUNNING
        if trial.state not in OPEN or (is_running and trial.number in (training or ())):
            return trial
        if self._job.stop_reason is not None:  # trained once the job has another budget
            self._held.cut_off(trial.number)
            return replace(trial, state=TrialState.CANCELLED)
        if is_running and training is None:
            return self._lost_with_worker(trial)
        if is_running:  # it was about to begin
            self._held.requeue(trial.number, retry=False)
        return replace(trial, state=TrialState.WAITING)

    def _lost_with_worker(self, trial: Trial) -> Trial:
        """Retry a trial whose worker died while it ran, or fail it as a possible cause."""
        if trial.retries < MAX_RETRIES:
            self._held.requeue(trial.number, retry=True)
            return replace(trial, state=TrialState.WAITING, retries=trial.retries + 1)
        state = self._oracle.state
        self._held.fail(trial.number, _DIED, None, state, self._job.seconds, is_progress=False)
        self._drop_weights(trial)
        return trial.with_failure(_DIED)

    def _restored_oracle(self, state: Mapping[str, Any]) -> OracleThread:
        return oracle_thread(self._spec, self._trials.values(), state, self._thread)

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

    def take_changes(self, job: Job, training: Collection[int] = ()) -> None:
        """Apply what the user changed since: the budget of `job`, new and discarded trials.

        `training` are the numbers of trials that this worker trains.
        """
        known = {t.number for t in self._trials.values() if t.state == TrialState.DISCARDED}
        if self._held.discarded() != known:
            self.take_proposals(wait=True)
            state, base = self._oracle.state, self._job.seconds
            self._job, self._spec = replace(job, oracle_state=state, seconds=base), job.spec
            self._forget()
            self.resume(training)
            return
        if job.spec != self._spec:
            self.take_proposals(wait=True)
            self._spec = job.spec
            self._oracle = self._restored_oracle(self._oracle.state)
            self._oracle.start()
        first = 1
        while first in self._trials:
            first += 1
        for trial in self._held.trials(first):
            if trial.number not in self._trials:
                self._add(trial)
                self._oracle.learn(observation_of(trial, self._spec.objectives))

    @property
    def best(self) -> Trial | None:
        """The trial that would win now; None while none may."""
        return self.kept[0] if self.kept else None

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
                self._spent.note(None, row)
                self._waiting.append(row.number)
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
            found = self._equal.answer(trial, self._artifacts, self.weights_of(number))
            if found is not None:
                reference, result = found
                self._settle(trial, result, reference)
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
        if self._spec.other_objectives or isinstance(self._spec.strategy, Hyperband):
            return None
        most = MAX_KEPT if self._spec.keeps_several else 1
        if len(self.kept) < most:
            return None
        last = self.kept[-1]
        return None if last.state == TrialState.STOPPED and self._spec.runs > 1 else last.score

    def stop_reason(self) -> str | None:
        """Return why the search must end now, or None while it may go on."""
        budget, spent = self._spec.budget, self._spent
        if self.best is not None and budget.is_reached(self._spec.objective, self.best.score):
            return "target"
        if budget.max_seconds is not None and self.seconds >= budget.max_seconds:
            return "max_seconds"
        if spent.failed >= budget.failures_allowed(spent.ended):
            return "max_failed_trials"
        if self._equal.any_running or any(self._may_begin(number) for number in self._waiting):
            return None
        if budget.max_trials is not None and spent.proposed >= budget.max_trials:
            return "max_trials"
        return "exhausted" if self._oracle.finished and not self._oracle.pending else None

    def _may_begin(self, number: int) -> bool:
        """Return whether the budget, which may have been lowered, has room for a waiting trial."""
        limit = self._spec.budget.max_trials
        return limit is None or self._trials[number].is_enqueued or self._spent.begun < limit

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
        self._replace(trial.with_failure(failure))
        self._drop_weights(trial)

    def requeue(self, number: int) -> None:
        """Let a running trial that was interrupted wait again, without counting a retry."""
        self._held.requeue(number, retry=False)
        self._set(number, state=TrialState.WAITING)
        self._waiting.append(number)

    def cut_off(self, number: int) -> None:
        """Leave a running trial without a result, as the search has ended."""
        self._held.cut_off(number)
        self._drop_weights(self._set(number, state=TrialState.CANCELLED))

    def drop_weights(self) -> None:
        """Remove the weights of every trial but the kept ones; none can be continued."""
        kept = {trial.number for trial in self.kept}
        for trial in self._trials.values():
            if trial.state in SCORED and trial.number not in kept:
                self._artifacts.try_delete(self.weights_of(trial.number))

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
            if self._may_begin(number) and not self._equal.is_running(self._trials[number]):
                self._waiting.remove(number)
                return number
        return None

    def _settle(self, trial: Trial, result: TrialResult, source: TrialRef | None = None) -> None:
        digest = self._equal.digest(trial)
        self._oracle.tell(
            trial.key, result.score, result.violation, losses(self._spec.objectives, result.scores)
        )
        state = self._oracle.state
        if not self._held.complete(trial.number, result, state, self.seconds, digest, source):
            self._drop_weights(trial)  # discarded just now: the next look makes the search anew
            return
        trial = self._set(
            trial.number,
            state=TrialState.STOPPED if result.stopped else TrialState.COMPLETED,
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
        """Compare a scored trial with the kept ones; return those of all that are not kept."""
        compared = [*self.kept, trial]
        self.kept = kept_of(self._spec, compared)
        kept = {each.number for each in self.kept}
        return [each for each in compared if each.number not in kept]

    def _drop_weights(self, trial: Trial) -> None:
        folder = self.weights_of(trial.number)
        self._held.on_commit(partial(self._artifacts.try_delete, folder))

    def _set(self, number: int, **changes: Any) -> Trial:
        return self._replace(replace(self._trials[number], **changes))

    def _replace(self, trial: Trial) -> Trial:
        self._spent.note(self._trials[trial.number], trial)
        self._trials[trial.number] = trial
        self._equal.note(trial)
        if trial.state not in (TrialState.RUNNING, *SCORED):
            self._pruner.forget(trial.number)
        return trial

    def spec_of(self, trial: Trial) -> TrialSpec:
        """Return what the process that trains the trial is given."""
        spec, parent, dataset = self._spec, self._equal.parent(trial), self._job.dataset
        assert dataset is not None
        return TrialSpec(
            job=self._job.id,
            number=trial.number,
            network=spec.network,
            values=trial.values,
            data=spec.data(dataset, self._artifacts.root),
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
