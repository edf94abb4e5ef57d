"""`luthier export-trials`."""

from pathlib import Path

import click

from luthier.commands.connection import Service, with_service


@click.command("export-trials")
@click.argument("job")
@click.argument("destination")
@click.option(
    "--to",
    "kind",
    type=click.Choice(["tensorboard", "mlflow", "optuna"]),
    required=True,
    help="The tool that reads them.",
)
@with_service()
def export_trials(service: Service, job: str, destination: str, kind: str) -> None:
    """Write the ended trials of JOB to DESTINATION for another tool.

    DESTINATION is a folder for TensorBoard; a folder or tracking URI for MLflow; an SQLite file, a
    `.log` journal or a URL for Optuna.
    """
    from luthier.trial_exports import mlflow_writer, optuna_writer, tensorboard_writer
    from luthier.trial_exports.records import read_job, version_file

    found = read_job(service.client, job)
    if kind == "tensorboard":
        next_step = tensorboard_writer.write(found, Path(destination))
    elif kind == "optuna":
        next_step = optuna_writer.write(found, destination)
    else:
        next_step = mlflow_writer.write(
            found, destination, lambda file: version_file(service.client, found, file)
        )
    answer = {"job": job, "trials": len(found.trials), "next": next_step}
    service.answer(answer, _show)


def _show(answer: dict[str, object]) -> None:
    click.echo(f"{answer['trials']} trials written. To look at them: {answer['next']}")
