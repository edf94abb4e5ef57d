"""`luthier import`: a search of Keras Tuner as a tuning request."""

import json
from pathlib import Path
from typing import Any

import click

from luthier.commands.connection import connected, connection_options
from luthier.commands.jobs import finish_command, follow_to_end
from models.space.hyperparameters import NETWORKS


@click.command("import")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--dataset", help="A file, the id of a stored dataset, or `builtin:` and a name.")
@click.option("--target", help="The column to predict.")
@click.option("--model", help="The name of the model; the folder's name if it is left out.")
@click.option("--network", type=click.Choice(NETWORKS), default="mlp", show_default=True)
@click.option("--best", default=10, show_default=True, help="So many best trials run first.")
@click.option(
    "--rename", multiple=True, metavar="THEIRS=OURS", help="Map a hyperparameter by name."
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Not to stdout.")
@click.option("--run", is_flag=True, help="Start the job; needs --dataset and --target.")
@connection_options
def import_project(
    folder: Path,
    dataset: str | None,
    target: str | None,
    model: str | None,
    network: str,
    best: int,
    rename: tuple[str, ...],
    output: Path | None,
    run: bool,
    url: str | None,
    api_key: str | None,
) -> None:
    """Turn FOLDER, a project of Keras Tuner, into a request for POST /tune.

    The request has the search space, the objective, and the best trials as first trials. What has
    no counterpart is listed on stderr.
    """
    from luthier.keras_tuner_import.conversion import convert
    from luthier.keras_tuner_import.project import read_project

    if run and not (dataset and target):
        raise click.UsageError("--run needs --dataset and --target.")
    conversion = convert(read_project(folder), _pairs(rename), network, best)
    is_file = dataset is not None and Path(dataset).is_file()
    request: dict[str, Any] = {"model": model or folder.resolve().name}
    if dataset is not None and not is_file:
        request["dataset"] = dataset
    request |= ({"target": target} if target else {}) | conversion.request
    for note in conversion.notes:
        click.echo(f"note: {note}", err=True)
    if not run:
        missing = [name for name in ("dataset", "target") if name not in request]
        if missing:
            click.echo(f"note: add {' and '.join(missing)} before you post it.", err=True)
        text = json.dumps(request, indent=2)
        _write(text, output)
        return
    with connected(url, api_key, False, "serve") as service:
        job = service.client.tune(request, Path(str(dataset)) if is_file else None)
        if service.is_own:
            finish_command(service, follow_to_end(service, job))
        else:
            click.echo(job.id)


def _write(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{output}: {error.strerror}.") from None


def _pairs(renamed: tuple[str, ...]) -> dict[str, str]:
    pairs = [each.partition("=") for each in renamed]
    if wrong := [each for each, pair in zip(renamed, pairs, strict=True) if not pair[2]]:
        raise click.BadParameter(f"{wrong[0]}: expected THEIRS=OURS.", param_hint="--rename")
    return {theirs: ours for theirs, _, ours in pairs}
