"""The `luthier` command: the list of its commands, and how they end."""

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from luthier import __version__

USAGE = 2
INTERRUPTED = 130

# Every command with its module, which is imported only where it is needed, and its line in the
# help. Those of the first section call a service; the others read the settings of this one.
_CLIENT_COMMANDS = {
    "tune": ("luthier.commands.tune", "Tune networks on a table; the best becomes a model."),
    "predict": ("luthier.commands.predict", "Add predictions to the rows of a file."),
    "jobs": ("luthier.commands.jobs", "List tuning jobs, newest first."),
    "job": ("luthier.commands.jobs", "Show a tuning job."),
    "trials": ("luthier.commands.jobs", "List the trials of a job, the best first."),
    "compare": ("luthier.commands.jobs", "Compare two or more jobs."),
    "finish": ("luthier.commands.jobs", "Stop a job now and keep the best."),
    "pause": ("luthier.commands.jobs", "Start no more trials of a job."),
    "resume": ("luthier.commands.jobs", "Go on with a paused job."),
    "cancel": ("luthier.commands.jobs", "Cancel a job."),
    "models": ("luthier.commands.models", "List the models."),
    "model": ("luthier.commands.models", "Show a model, a version, or the history."),
    "promote": ("luthier.commands.models", "Let a version answer predictions."),
    "rollback": ("luthier.commands.models", "Go back to the version before."),
    "export": ("luthier.commands.models", "Download the files of a version."),
    "datasets": ("luthier.commands.datasets", "List, upload, show and delete datasets."),
    "import": (
        "luthier.keras_tuner_import.command",
        "Make a request of a project of Keras Tuner.",
    ),
    "export-trials": (
        "luthier.trial_exports.command",
        "Write the trials of a job for TensorBoard, MLflow or Optuna.",
    ),
    "doctor": ("luthier.commands.doctor", "Check this machine: what is wrong, and what to do."),
    "completion": ("luthier.commands.completion", "Print the completion of a shell."),
}
_SERVICE_COMMANDS = {
    "serve": ("luthier.commands.service", "Run API and worker on this machine."),
    "api": ("luthier.commands.service", "Run the API alone."),
    "worker": ("luthier.commands.service", "Run a worker alone."),
    "grpc": ("luthier.commands.service", "Answer predictions over gRPC."),
    "migrate": ("luthier.commands.service", "Bring the database to the newest schema."),
    "openapi": ("luthier.commands.service", "Write the OpenAPI document."),
    "keys": ("luthier.keys", "Make, list and revoke API keys."),
    "gc": ("luthier.storage", "Remove stored files that no row names."),
    "fsck": ("luthier.storage", "Check the files of every row."),
}
SECTIONS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Use a service": _CLIENT_COMMANDS,
    "Run a service": _SERVICE_COMMANDS,
}
COMMANDS = _CLIENT_COMMANDS | _SERVICE_COMMANDS
_FUNCTIONS = {"import": "import_project", "export-trials": "export_trials"}  # no names of Python


class _Commands(click.Group):
    """Commands that are imported when they run, and report errors as one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        name = _FUNCTIONS.get(cmd_name, cmd_name)
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, line) for name, (_, line) in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        names = [name for name in COMMANDS if name.startswith(incomplete)]
        return [CompletionItem(name, help=COMMANDS[name][1]) for name in names] or list(
            click.Command.shell_complete(self, ctx, incomplete)
        )

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Run a command; end the process with its exit code."""
        try:
            ended = super().main(args, *rest, **{**options, "standalone_mode": False})
            sys.stdout.flush()
        except click.UsageError as error:
            path = error.ctx.command_path if error.ctx else "luthier"
            sys.exit(_report(f"{error.format_message()} See: {path} --help", USAGE))
        except click.ClickException as error:
            sys.exit(_report(error.format_message(), error.exit_code))
        except (click.Abort, KeyboardInterrupt):
            sys.exit(_report("Interrupted.", INTERRUPTED))
        except BrokenPipeError:
            # Nobody reads on, as in `luthier trials … | head`; the interpreter must not try again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        sys.exit(ended if isinstance(ended, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        from models.errors import LuthierError

        try:
            return super().invoke(ctx)
        except LuthierError as error:
            raise click.ClickException(str(error)) from None


def _report(message: str, exit_code: int) -> int:
    """Print an error as one line, and return the exit code."""
    click.echo(f"Error: {' '.join(message.split())}", err=True)
    return exit_code


@click.group(
    cls=_Commands,
    help="Tune neural networks and serve the winner.",
    epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no service reached,"
    " 130 interrupted.",
)
@click.version_option(__version__, prog_name="luthier")
@click.pass_context
def main(context: click.Context) -> None:
    """Read the settings once, for the commands that run a service."""
    if context.invoked_subcommand in _SERVICE_COMMANDS:
        from models.settings import Settings
        from models.telemetry import configure_logging

        context.obj = Settings.from_environment()
        configure_logging(context.obj.log_level, context.obj.log_format)
