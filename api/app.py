"""The factory of the API: all its parts are put together here."""

import math
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import msgspec
from flask import Flask, Response
from flask.json.provider import DefaultJSONProvider
from flask.sessions import NullSession, SessionInterface
from sqlalchemy.exc import SQLAlchemyError

from api import openapi, parsing, plain_predictions
from api.dashboard import files as dashboard
from api.dialects import mlflow, open_inference, tensorflow_serving
from api.errors import register_error_handlers
from api.hooks import auth, commands, compression, limits, request_log
from api.hooks.limits import LimitedRequest
from api.monitoring import ApiMetrics, Readiness
from api.resources import (
    audit,
    batches,
    compare,
    datasets,
    events,
    models,
    monitoring,
    operations,
    predict,
    reports,
    tune,
)
from api.services import Services
from api.streams import EventStreams
from models.access.audit import AuditLog
from models.access.catalog import KeyCatalog, KeyRing
from models.access.idempotency import IdempotencyKeys
from models.access.keys import parse_static_keys
from models.batches.catalog import BatchCatalog
from models.batches.submission import BatchSubmission
from models.data.library.catalog import DatasetCatalog
from models.data.library.library import DatasetLibrary
from models.data.library.turns import Turns
from models.errors import NotFound
from models.jobs.commands import JobCommands
from models.jobs.forecast.forecaster import Forecaster
from models.jobs.reader import JobReader, job_statistics
from models.jobs.store.events import EventFeed
from models.jobs.submission import Submission
from models.monitoring.dataset import LoggedData
from models.monitoring.feedback import Feedback
from models.monitoring.guard import Guard
from models.monitoring.log import PredictionLog
from models.monitoring.monitor import Monitor
from models.monitoring.recorder import Recorder
from models.registry.catalog.catalog import ModelCatalog
from models.registry.files import FileCache, VersionFiles
from models.registry.profile import read_profile
from models.reports.reports import Reports
from models.retention.deletion import Deletion
from models.retention.remover import Remover
from models.retention.usage import disk_usage
from models.serving.engine import PredictionEngine
from models.serving.imports.imports import VersionImports
from models.serving.routing import RoutingTable
from models.serving.shadows import Shadows
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database

# The order in which the OpenAPI document lists them.
_RESOURCES: tuple[Any, ...] = (
    *(tune, events, reports, compare, datasets, predict, batches, models),
    *(monitoring, audit, operations),
    *(tensorflow_serving, open_inference, mlflow),
)


class StrictJSON(DefaultJSONProvider):
    """JSON as RFC 8259 has it: a NaN or infinity out of a stored document is written as null."""

    sort_keys = False

    def dumps(self, obj: Any, **options: Any) -> str:
        """Return the text of `obj`."""
        try:
            return super().dumps(obj, allow_nan=False, **options)
        except ValueError:
            return super().dumps(_without_nan(obj), allow_nan=False, **options)

    def response(self, *args: Any, **named: Any) -> Response:
        """Return a response with the text of the arguments, as `flask.jsonify` takes them.

        What msgspec does not write, such as half a surrogate pair, goes through `dumps`.
        """
        obj = self._prepare_response_obj(args, named)
        try:
            body = msgspec.json.encode(obj)
        except (TypeError, ValueError):
            body = self.dumps(obj, separators=(",", ":")).encode()
        return Response(body + b"\n", mimetype=self.mimetype)


class Application(Flask):
    """A Flask application whose views and hooks are plain functions."""

    def ensure_sync(self, func: Any) -> Any:
        """Return the function: Flask looks at each of them in each request for a coroutine."""
        return func


class NoSessions(SessionInterface):
    """Sessions as no client has one here."""

    _none = NullSession()

    def open_session(self, app: Flask, request: Any) -> NullSession:
        """Return the session that every request shares; it refuses to be changed."""
        return self._none

    def save_session(self, *_: Any) -> None:
        """Do nothing; Flask does not even call it."""


def create_app(settings: Settings) -> Flask:
    """Return the WSGI application over the database and artifacts that `settings` name."""
    app = Application("api", static_folder=None)
    app.request_class = LimitedRequest
    app.config.update(openapi.CONFIGURATION)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.json = StrictJSON(app)
    app.session_interface = NoSessions()
    app.extensions["luthier"] = build_services(settings)
    plain_predictions.register(app, app.extensions["luthier"])
    request_log.register(app)
    compression.register(app)
    register_error_handlers(app)
    parsing.register(app)
    auth.register(app)
    limits.register(app)
    commands.register(app)
    app.register_blueprint(dashboard.blueprint)
    openapi.register(app, [module.blueprint for module in _RESOURCES])
    return app


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cache(settings: Settings, artifacts: Artifacts) -> FileCache | None:
    """Return a cache of model files, unless they lie in a folder already."""
    if artifacts.is_folder:
        return None
    return FileCache(Path(settings.data) / "cache", settings.file_cache)


def _is_gone(catalog: ModelCatalog, model: str) -> bool:
    """Return whether a model was deleted; not while the database is away."""
    with suppress(SQLAlchemyError):
        try:
            catalog.numbers(model)
        except NotFound:
            return True
    return False


def build_services(settings: Settings) -> Services:
    """Return the parts of one process over the database and artifacts that `settings` name."""
    # One for each upload, and five for what goes on beside requests: the check of readiness, the
    # table of routes, the loading of versions, shadows, and the recorder.
    threads = settings.api_threads + settings.upload_threads + 5
    database = Database(settings.resolved_database_url, threads, settings.database_wait)
    artifacts = Artifacts(settings.resolved_artifacts)
    turns = Turns(settings.upload_threads)
    library = DatasetLibrary(DatasetCatalog(database), artifacts, settings, turns)
    models = ModelCatalog(database)
    files = VersionFiles(artifacts, models.files, _cache(settings, artifacts))
    batch_catalog = BatchCatalog(database, settings.max_queued_jobs)
    job_commands = JobCommands(
        database, artifacts, settings.max_queued_jobs, settings.max_trials_per_job
    )
    reader = JobReader(database, settings.resolved_trial_slots)
    predictions = PredictionEngine(files, settings.model_cache, settings.max_instances)
    metrics = ApiMetrics(partial(job_statistics, database), partial(disk_usage, database))
    profile_of = lru_cache(maxsize=64)(partial(read_profile, files))
    prediction_log = PredictionLog(
        artifacts,
        predictions.signature,
        settings.prediction_log_seconds,
        partial(_is_gone, models),
    )
    recorder = Recorder(database, profile_of, prediction_log, settings.monitoring_seconds)
    feedback = Feedback(database, predictions, recorder)
    recorder.after = Guard(database, models, feedback).check
    return Services(
        settings=settings,
        database=database,
        artifacts=artifacts,
        keys=KeyRing(KeyCatalog(database), parse_static_keys(settings.api_keys)),
        idempotency=IdempotencyKeys(database, settings.idempotency_hours),
        audit=AuditLog(database),
        datasets=library,
        submission=Submission(library, job_commands, reader, settings.max_trials_per_job),
        forecaster=Forecaster(settings, library.catalog),
        jobs=reader,
        job_commands=job_commands,
        deletion=Deletion(database, job_commands, Remover(database, artifacts)),
        models=models,
        version_files=files,
        imports=VersionImports(database, artifacts, turns, settings.upload_memory),
        routes=RoutingTable(database, models, predictions.load, settings.model_cache),
        predictions=predictions,
        shadows=Shadows(metrics.shadowed),
        batches=batch_catalog,
        batch_submission=BatchSubmission(batch_catalog, models, library, predictions, artifacts),
        recorder=recorder,
        feedback=feedback,
        monitor=Monitor(database, models, feedback, profile_of),
        logged_data=LoggedData(database, prediction_log, predictions.signature),
        reports=Reports(reader, models, files),
        streams=EventStreams(EventFeed(database), settings.api_threads),
        turns=turns,
        metrics=metrics,
        readiness=Readiness(database, artifacts),
    )
