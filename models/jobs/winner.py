"""The best trial of a job on its way to becoming a registered version."""

from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection

from models.jobs.records import Job, Trial
from models.registry.catalog import ModelCatalog, artifact_folder
from models.registry.export import ExportResult, ExportSpec
from models.store.artifacts import Artifacts
from models.trials.spec import TrialSpec


class Winner:
    """Holds the version number that the winner will have until it is published or given up."""

    def __init__(
        self, job: Job, trial: Trial, spec: TrialSpec, models: ModelCatalog, artifacts: Artifacts
    ) -> None:
        self.version = models.reserve(job.model, str(job.spec.task), job.id, trial.number)
        self._job = job
        self._trial = trial
        self._spec = spec
        self._models = models
        self._artifacts = artifacts

    def export_spec(self) -> ExportSpec:
        """What the process that writes the version's files is told."""
        return ExportSpec(
            model=self._job.model,
            version=self.version,
            trial=self._spec,
            result=self._trial.stored_result(),
            refit=self._job.spec.refit,
        )

    def publish(self, connection: Connection, exported: ExportResult) -> None:
        """Register the written version as the champion, in the caller's transaction."""
        details: dict[str, Any] = asdict(exported)
        files = details.pop("files")
        self._models.publish(
            connection, self._job.model, self.version, self._trial.number, files, details
        )

    def discard(self, connection: Connection) -> None:
        """Give the version number back and remove what was written under it.

        The caller's transaction must hold the job: no other worker can have taken it up.
        """
        if self._models.discard(connection, self._job.model, self.version):
            self._artifacts.delete(artifact_folder(self._job.model, self.version))
