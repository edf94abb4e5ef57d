"""The last phase: export the winner, compare it with the champion, and register it as a version."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Any

from sqlalchemy import Connection, select

from models.errors import Conflict, NotFound, Unreadable
from models.jobs.model import JobState, Trial
from models.jobs.search.search import Search
from models.jobs.store.rows import ranked
from models.jobs.worker.phases import JobFailed, Phase, RunState, Task
from models.jobs.worker.tasks import compare, export
from models.registry.catalog.catalog import artifact_folder
from models.registry.catalog.promotion import (
    ChampionMoved,
    Comparison,
    ComparisonSpec,
    PromotionRule,
    Rival,
    contract_differences,
)
from models.registry.catalog.records import VersionRecord
from models.registry.export import Candidate, ExportResult, ExportSpec
from models.store.tables import jobs

_CLAIMS = ("better_than_trees", "conclusion")


class Saving(Phase):
    """Export the winner, compare it with the champion, and register it as a version.

    The comparison is made once more where the champion was moved meanwhile.
    """

    def __init__(self, state: RunState, search: Search) -> None:
        super().__init__(state)
        self._search = search
        self._version: int | None = None  # reserved for the winner
        self._exported: ExportResult | None = None  # written, and not registered yet
        self._compared: Comparison | None = None  # of what was written

    @property
    def folders(self) -> list[str]:
        """Those of the job and of its version."""
        own = (
            [] if self._version is None else [artifact_folder(self.state.job.model, self._version)]
        )
        return [*super().folders, *own]

    def advance(self, done: Collection[Task], slots: int) -> "Phase | None":
        """Return None once the job has succeeded; raises JobFailed where there is no winner."""
        if any(task in done for task in self.in_flight):
            (task,), self.in_flight = self.in_flight, []
            try:
                self._take(task.result())
            except Exception as error:
                if self.retries.allow(error):
                    return self
                self._give_up(error)
        if self._exported is not None and self._compared is None:
            self._compare(self._exported, slots)
        if self._exported is not None:
            return self if self._compared is None else self._succeed(self._version, self._exported)
        if self._version is None:
            best = self._winner
            if best is None:
                raise JobFailed(self._why_no_winner())
            models, job = self.state.context.models, self.state.job
            version = models.version_of(job.id, best.number)
            if version is not None:
                # A search that went on with another budget found nothing better.
                return self._succeed(version, None)
            self._version = models.reserve(job.model, str(job.spec.task), job.id, best.number)
        if slots > 0 and self.room:
            self._submit(export, self._export_spec(self._version))
        return self

    def _take(self, result: ExportResult | Comparison) -> None:
        if isinstance(result, Comparison):
            self._compared = result
        else:
            self._exported = result

    def _give_up(self, error: Exception) -> None:
        """Raise JobFailed for an export; a version that cannot be compared is registered."""
        if self._exported is None:
            raise JobFailed(f"The winner could not be saved: {error}") from error
        why = f"The comparison failed: {error}"
        self._compared = self._contracts(self._champion(), self._exported, why)

    def _champion(self) -> VersionRecord | None:
        return self.state.context.models.champion(self.state.job.model)

    @staticmethod
    def _contracts(champion: VersionRecord | None, exported: ExportResult, why: str) -> Comparison:
        """Compare no more than the contracts, if that of the champion can be read."""
        if champion is None:
            return Comparison(None)
        with suppress(Unreadable):
            differs = contract_differences(exported.signature, champion.signature)
            return Comparison(champion.version, differs, trouble=why)
        return Comparison(champion.version, trouble=why)

    def _compare(self, exported: ExportResult, slots: int) -> None:
        """Start the comparison with the present champion, or say that there is nothing to it."""
        if self.in_flight or not self.room:
            return
        champion = self._champion()
        if champion is None:
            self._compared = Comparison(None)
            return
        if slots <= 0:
            return
        best = self._winner
        assert best is not None
        assert self._version is not None
        trial = self._search.spec_of(best)
        try:
            rival = Rival(
                champion.version,
                champion.files,
                champion.signature,
                dict(champion.evidence.get("lineage") or {}),
            )
        except Unreadable as error:
            self._compared = self._contracts(champion, exported, str(error))
            return
        spec = ComparisonSpec(
            model=self.state.job.model,
            version=self._version,
            data=trial.data,
            objective=trial.objective,
            files=exported.files,
            signature=exported.signature,
            champion=rival,
        )
        self._submit(compare, spec)

    def take_changes(self) -> "Phase | None":
        """Return None: the search may go on, or have another winner."""
        return None

    def discard(self) -> None:
        """Release the reserved version number and remove what was written under it.

        The job must still be held: no other worker can have claimed it.
        """
        if self._version is None:
            return
        model, context = self.state.job.model, self.state.context
        with self.state.held.unit_of_work() as unit:
            if context.models.discard(unit.connection, model, self._version):
                folder = artifact_folder(model, self._version)
                self.state.held.on_commit(partial(context.artifacts.try_delete, folder))
        self._version = self._exported = self._compared = None

    @property
    def _winner(self) -> Trial | None:
        chosen = self.state.job.chosen_trial
        return self._search.best if chosen is None else self.state.held.trial(chosen)

    def _why_no_winner(self) -> str:
        listed = self.state.held.trials()
        scored = [trial for trial in listed if trial.score is not None]
        if scored:
            return self._why_none_fits(scored)
        failed = [trial for trial in listed if trial.failure_kind]
        last = max(failed, key=lambda trial: trial.number, default=None)
        why = last and f" The last failure was {last.failure_kind}: {last.failure_message}"
        return f"No trial has a score; the search ended by {self.state.job.stop_reason}.{why or ''}"

    def _why_none_fits(self, scored: Sequence[Trial]) -> str:
        """Say which constraints the trial breaks that comes closest."""
        spec = self.state.job.spec
        closest = ranked(spec.objective, scored)[0]
        metrics = closest.stored_result().metrics or {}
        broken = [
            each.describe(metrics.get(each.metric))
            for each in spec.constraints
            if each.excess(metrics.get(each.metric)) > 0
        ]
        return (
            f"No trial keeps the constraints; the search ended by {self.state.job.stop_reason}."
            f" The closest is trial {closest.number}: {', '.join(broken)}."
        )

    def _export_spec(self, version: int) -> ExportSpec:
        best, job = self._winner, self.state.job
        assert best is not None
        assert job.dataset is not None
        rows = self.state.context.datasets.get(job.dataset).rows
        return ExportSpec(
            model=job.model,
            version=version,
            trial=self._search.spec_of(best),
            result=self.state.held.trial(best.number).stored_result(),
            refit=job.spec.refits(rows),
            others=self._others(best),
            picks=job.spec.picks if job.chosen_trial is None else 1,
            threshold=job.spec.wanted_threshold,
        )

    def _others(self, best: Trial) -> tuple[Candidate, ...]:
        """Return the trials that may stand beside the best one; none if a user has chosen it."""
        job = self.state.job
        if not job.spec.keeps_several or job.chosen_trial is not None:
            return ()
        stored = [self.state.held.trial(each.number) for each in self._search.kept]
        return tuple(
            Candidate(self._search.spec_of(trial), trial.stored_result())
            for trial in stored
            if trial.number != best.number
        )

    def _succeed(self, version: int | None, exported: ExportResult | None) -> "Phase | None":
        publish = None if exported is None else partial(self._publish, exported=exported)
        changes = self.state.job.changes
        try:
            self.state.held.finish(
                JobState.SUCCEEDED,
                version=version,
                changes=changes,
                publish=publish,
                data_notes=self._notes(version, exported),
            )
        except ChampionMoved:
            self._compared = None
        except Conflict:
            pass  # paused, cancelled or changed just now: the next look does that
        else:
            self._search.drop_weights()
            return None
        return self

    def _notes(self, version: int | None, exported: ExportResult | None) -> dict[str, Any]:
        """Return the notes of the job with what its version is beside boosted trees.

        The verdict on its promotion is there too if the version is registered already.
        """
        job = self.state.job
        found: dict[str, Any] = {}
        if exported is not None:
            found = {"trees": {name: exported.evidence[name] for name in _CLAIMS}}
        else:
            with suppress(NotFound):  # it was deleted just now
                record = self.state.context.models.version(job.model, version or 0)
                found = {
                    "trees": {name: getattr(record, name) for name in _CLAIMS},
                    "promotion": record.promotion,
                }
        return {**(job.data_notes or {}), **found}

    def _publish(self, connection: Connection, exported: ExportResult) -> dict[str, Any]:
        """Register the written version; return the verdict on its promotion as a note."""
        best, job = self._winner, self.state.job
        assert best is not None
        assert self._version is not None
        details = asdict(exported)
        files = details.pop("files")
        spec = job.spec
        rule = PromotionRule(
            spec.promote, spec.min_gain, spec.breaking, _may_promote(connection, job.id)
        )
        verdict = self.state.context.models.publish(
            connection, job.model, self._version, best.number, files, details, rule, self._compared
        )
        return {"promotion": verdict}


def _may_promote(connection: Connection, job: str) -> bool:
    """Return whether all who steered a job may move an alias, as it stands now."""
    query = select(jobs.c.may_promote).where(jobs.c.id == job)
    return connection.execute(query).scalar_one() is not False
