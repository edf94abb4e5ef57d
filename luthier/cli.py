"""The `luthier` command."""

import importlib.util
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import click

from luthier import __version__
from luthier.keras_tuner_import.command import import_project
from luthier.keys import keys
from luthier.storage import fsck, gc
from luthier.trial_exports.command import export_trials
from models.errors import LuthierError
from models.settings import Settings
from models.telemetry import configure_logging


class _Commands(click.Group):
    """Commands that report errors as messages, not as tracebacks."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LuthierError as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=_Commands, help="Tune neural networks and serve the winner.")
@click.version_option(__version__, prog_name="luthier")
@click.pass_context
def main(context: click.Context) -> None:
    """Read the settings once, for every command."""
    context.obj = Settings.from_environment()
    configure_logging(context.obj.log_level, context.obj.log_format)


for command in (keys, gc, fsck, import_project, export_trials):
    main.add_command(command)


@main.command()
@click.pass_obj
def serve(settings: Settings) -> None:
    """Run API and worker on this machine, until Ctrl-C or SIGTERM."""
    from luthier.embedded import run_embedded

    sys.exit(run_embedded(settings))


@main.command()
@click.pass_obj
def api(settings: Settings) -> None:
    """Run the API alone."""
    from luthier.server import run_api

    run_api(settings)


@main.command()
@click.pass_obj
def grpc(settings: Settings) -> None:
    """Answer predictions over gRPC, by the Open Inference Protocol."""
    if importlib.util.find_spec("grpc") is None:
        raise click.ClickException("This command needs grpcio: pip install 'luthier[grpc]'")
    from luthier.grpc_server import run_grpc

    run_grpc(settings)


@main.command()
@click.pass_obj
def worker(settings: Settings) -> None:
    """Run a worker alone: it runs the jobs and batches that the API has queued."""
    # TensorFlow reads this when it is imported, here and in the trials' processes.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from luthier.worker_endpoint import serve_health
    from models.batches.worker import batching
    from models.jobs.worker.context import WorkerHealth
    from models.jobs.worker.worker import run_worker
    from models.retention.sweep import sweeping

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    health = WorkerHealth(settings.resolved_trial_slots)
    with serve_health(settings, health), sweeping(settings), batching(settings):
        run_worker(settings, stop, health)


@main.command()
@click.pass_obj
def migrate(settings: Settings) -> None:
    """Bring the database to the newest schema."""
    from models.store.engine import Database
    from models.store.migrate import migrate as run_migrations

    run_migrations(Database(settings.resolved_database_url))


@main.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), default="openapi.yaml")
@click.pass_obj
def openapi(settings: Settings, path: Path) -> None:
    """Write the OpenAPI document to PATH."""
    from api.app import create_app
    from api.openapi import document

    path.write_text(document(create_app(settings)), encoding="utf-8")
