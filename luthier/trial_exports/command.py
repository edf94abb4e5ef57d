"""`luthier export-trials`."""

import os
from pathlib import Path

import click

from models.settings import CLIENT_KEY


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
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="Of the service.")
def export_trials(job: str, destination: str, kind: str, url: str) -> None:
    """Write the ended trials of JOB to DESTINATION for another tool.

    DESTINATION is a folder for TensorBoard; a folder or tracking URI for MLflow; an SQLite file, a
    `.log` journal or a URL for Optuna.
    """
    # The API and the worker, which are commands too, do not need the client.
    from luthier.client import Client, RequestRefused
    from luthier.trial_exports import mlflow_writer, optuna_writer, tensorboard_writer
    from luthier.trial_exports.records import download, read_job

    with Client(url) as client:
        try:
            found = read_job(client, job)
        except RequestRefused as error:
            raise click.ClickException(str(error)) from None
    if kind == "tensorboard":
        next_step = tensorboard_writer.write(found, Path(destination))
    elif kind == "optuna":
        next_step = optuna_writer.write(found, destination)
    else:
        key = os.environ.get(CLIENT_KEY)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        next_step = mlflow_writer.write(
            found, destination, lambda file: download(url, headers, found, file)
        )
    click.echo(f"{len(found.trials)} trials written. To look at them: {next_step}")
