"""The objects of `models` that the views call."""

from dataclasses import dataclass

from flask import current_app

from api.monitoring import ApiMetrics, Readiness
from api.streams import EventStreams
from models.access.audit import AuditLog
from models.access.catalog import KeyRing
from models.access.idempotency import IdempotencyKeys
from models.batches.catalog import BatchCatalog
from models.batches.submission import BatchSubmission
from models.data.library.library import DatasetLibrary
from models.data.library.turns import Turns
from models.jobs.commands import JobCommands
from models.jobs.forecast.forecaster import Forecaster
from models.jobs.reader import JobReader
from models.jobs.submission import Submission
from models.monitoring.dataset import LoggedData
from models.monitoring.feedback import Feedback
from models.monitoring.monitor import Monitor
from models.monitoring.recorder import Recorder
from models.registry.catalog.catalog import ModelCatalog
from models.registry.files import VersionFiles
from models.reports.reports import Reports
from models.retention.deletion import Deletion
from models.serving.engine import PredictionEngine
from models.serving.imports.imports import VersionImports
from models.serving.routing import RoutingTable
from models.serving.shadows import Shadows
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database


@dataclass(frozen=True, slots=True)
class Services:
    """One object of each kind, shared by all requests of a process."""

    settings: Settings
    database: Database
    artifacts: Artifacts
    keys: KeyRing
    idempotency: IdempotencyKeys
    audit: AuditLog
    datasets: DatasetLibrary
    submission: Submission
    forecaster: Forecaster
    jobs: JobReader
    job_commands: JobCommands
    deletion: Deletion
    models: ModelCatalog
    version_files: VersionFiles
    imports: VersionImports
    routes: RoutingTable
    predictions: PredictionEngine
    shadows: Shadows
    batches: BatchCatalog
    batch_submission: BatchSubmission
    recorder: Recorder
    feedback: Feedback
    monitor: Monitor
    logged_data: LoggedData
    reports: Reports
    streams: EventStreams
    turns: Turns
    metrics: ApiMetrics
    readiness: Readiness


def services() -> Services:
    """Return the services of the application that handles the present request."""
    found: Services = current_app.extensions["luthier"]
    return found
