"""`luthier models`, `model`, `promote`, `rollback` and `export`."""

import hashlib
from pathlib import Path
from typing import Any

import click

from luthier.commands.connection import Failure, Service, with_service
from luthier.commands.rendering import moment, show_lines, show_table, size


@click.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@with_service()
def models(service: Service, limit: int) -> None:
    """List the models by name.

    \b
    luthier models
    """
    body = service.client.request("GET", "/models", params={"limit": limit}).json()
    service.answer(body, lambda body: _show_models(body["items"]))


def _show_models(found: list[dict[str, Any]]) -> None:
    rows = [
        [
            each["name"],
            each["aliases"].get("champion"),
            each["latest_version"],
            size(each["bytes"]),
            moment(each["created"]),
        ]
        for each in found
    ]
    headers = ("model", "champion", "latest", "size", "created (UTC)")
    show_table(headers, rows, "There are no models.")


@click.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="Show this version in detail.")
@click.option("--history", is_flag=True, help="Show the moves of `champion`.")
@with_service()
def model(service: Service, name: str, version: int | None, history: bool) -> None:
    """Show a model's versions, one version, or the history of its champion.

    \b
    luthier model penguins
    luthier model penguins --version 1
    luthier model penguins --history
    """
    client = service.client
    if history:
        path = f"/models/{name}/aliases/champion/history"
        service.answer(client.request("GET", path).json(), _show_history)
    elif version is not None:
        service.answer(client.version(name, version), _show_version)
    else:
        service.answer(client.model(name), _show_model)


def _show_model(found: dict[str, Any]) -> None:
    names: dict[int, list[str]] = {}
    for alias, number in found["aliases"].items():
        names.setdefault(number, []).append(alias)
    rows = [
        [
            each["version"],
            ", ".join(names.get(each["version"], [])),
            each["task"],
            _scores(each["metrics"]),
            each["better_than_trees"],
            size(each["bytes"]),
            moment(each["created"]),
        ]
        for each in found["versions"]
    ]
    headers = ("version", "aliases", "task", "on test rows", "better than trees", "size", "created")
    show_table(headers, rows, "It has no versions.")
    for alias, route in found["rollouts"].items():
        click.echo(f"{alias}: weights {route.get('weights')}, shadow {route.get('shadow')}")


def _scores(metrics: dict[str, float] | None) -> str:
    """Return the metrics that people read first."""
    shown = ("rmse", "mae", "r2", "accuracy", "f1", "auc", "log_loss")
    found = {name: metrics[name] for name in shown if name in metrics} if metrics else {}
    return " ".join(f"{name}={value:.4g}" for name, value in list(found.items())[:3])


def _show_version(found: dict[str, Any]) -> None:
    lines: list[tuple[str, Any]] = [
        ("model", found["model"]),
        ("version", found["version"]),
        ("aliases", ", ".join(found["aliases"]) or None),
        ("task", found["task"]),
        ("job", found["job"]),
        ("trial", found["trial"]),
        ("parameters", found["parameters"]),
        ("conclusion", found["conclusion"]),
        ("promotion", (found.get("promotion") or {}).get("reason")),
        ("files", ", ".join(found["files"])),
    ]
    show_lines(lines)
    intervals, baseline = found["intervals"] or {}, found["baseline"] or {}
    rows = [
        [name, value, *(intervals.get(name) or (None, None)), baseline.get(name)]
        for name, value in (found["metrics"] or {}).items()
    ]
    headers = ("on test rows", "score", "95 % from", "to", "baseline")
    show_table(headers, rows, "It was not scored.")


def _show_history(body: dict[str, Any]) -> None:
    rows = [
        [moment(move["time"]), move["from"], move["to"], move["by"], move["reason"]]
        for move in body["items"]
    ]
    show_table(("time (UTC)", "from", "to", "by", "reason"), rows, "It never moved.")


@click.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(1))
@click.option("--reason", help="Kept in the history.")
@with_service()
def promote(service: Service, name: str, version: int, reason: str | None) -> None:
    """Let VERSION answer the predictions of a model.

    \b
    luthier promote penguins 2 --reason "better on the new season"
    """
    service.answer(service.client.promote(name, version, reason), _show_champion)


@click.command()
@click.argument("name")
@click.option("--reason", help="Kept in the history.")
@with_service()
def rollback(service: Service, name: str, reason: str | None) -> None:
    """Let the version before answer the predictions of a model.

    \b
    luthier rollback penguins --reason "drift"
    """
    service.answer(service.client.rollback(name, reason), _show_champion)


def _show_champion(found: dict[str, Any]) -> None:
    click.echo(f"The champion of {found['name']} is version {found['aliases'].get('champion')}.")


@click.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="Default: the champion, else the newest.")
@click.option(
    "--output",
    "-o",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write to. Default: NAME-VERSION.",
)
@click.option("--file", "files", multiple=True, help="Only this file; may be given again.")
@with_service()
def export(
    service: Service, name: str, version: int | None, folder: Path | None, files: tuple[str, ...]
) -> None:
    """Download the files of a version, which run without Luthier; each is checked by its digest.

    \b
    luthier export penguins
    luthier export penguins --version 1 --file model.onnx --output here
    """
    found = service.client.model(name).version(version)
    entries = found["files"]
    if unknown := [file for file in files if file not in entries]:
        raise Failure(f"There is no file {unknown[0]!r}; there are: {', '.join(entries)}.")
    if any(Path(file).name != file for file in entries):
        raise Failure("The service names files with folders, which it must not.")
    target = folder or Path(f"{name}-{found['version']}")
    target.mkdir(parents=True, exist_ok=True)
    for file in files or entries:
        _save(service, found, file, target / file)
    service.answer(found, lambda _: None)
    if not service.as_json:
        click.echo(f"{len(files or entries)} files of {name} version {found['version']}: {target}")


def _save(service: Service, version: dict[str, Any], file: str, path: Path) -> None:
    """Download a file beside its place, and move it there when its digest is right."""
    digest = hashlib.sha256()
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as written:
            for piece in service.client.download(version["model"], version["version"], file):
                digest.update(piece)
                written.write(piece)
        if digest.hexdigest() != version["files"][file]["sha256"]:
            raise Failure(f"{file} arrived with another content than the service has.")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
