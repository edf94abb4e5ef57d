"""`luthier tune`: a table in, a served model out."""

import json
from pathlib import Path
from typing import Any

import click

from luthier.commands.connection import Service, with_service
from luthier.commands.jobs import finish_command, follow_to_end
from luthier.commands.rendering import show_lines

_STRATEGIES = ("auto", "manual", "grid", "random", "bayesian", "tpe", "hyperband")


def parse_json(text: str) -> Any:
    """Return the value of JSON, or the text itself where it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def pairs(texts: tuple[str, ...], option: str) -> dict[str, str]:
    """Return `NAME=VALUE` texts as a dictionary; raises UsageError where there is no `=`."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.UsageError(f"{option} {text!r}: expected NAME=VALUE.")
        found[name] = value
    return found


def nested(settings: dict[str, str]) -> dict[str, Any]:
    """Return dotted names as objects: `a.b=5` becomes `{"a": {"b": 5}}`."""
    request: dict[str, Any] = {}
    for path, text in settings.items():
        *parents, name = path.split(".")
        place = request
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise click.UsageError(f"--set {path}: {parent!r} is already a value.")
        place[name] = parse_json(text)
    return request


def _json_object(option: str, text: str) -> dict[str, Any]:
    """Return a JSON object given as a file's path or as text."""
    try:
        content = text if text.lstrip().startswith("{") else Path(text).read_text("utf-8")
        found = json.loads(content)
    except OSError as error:
        raise click.UsageError(f"{option} {text}: {error.strerror}.") from None
    except ValueError as error:
        raise click.UsageError(f"{option} {text}: {error}.") from None
    if not isinstance(found, dict):
        raise click.UsageError(f"{option} {text}: expected a JSON object.")
    return found


def request_of(options: dict[str, Any]) -> dict[str, Any]:
    """Return the request that the options describe; later ones go before earlier ones."""
    request: dict[str, Any] = {}
    if options["request"]:
        request = _json_object("--request", options["request"])
    targets = options["target"]
    if targets:
        request["target"] = targets[0] if len(targets) == 1 else list(targets)
    for name in ("model", "strategy", "seed", "description"):
        if options[name] is not None:
            request[name] = options[name]
    for name in ("exclude", "tags"):
        if options[name]:
            request[name] = list(options[name])
    if options["space"]:
        request["search_space"] = _json_object("--space", options["space"])
    limits = {"max_trials": "trials", "max_seconds": "seconds", "epochs": "epochs"}
    budget = {limit: options[name] for limit, name in limits.items() if options[name] is not None}
    if budget:
        request["budget"] = {**(request.get("budget") or {}), **budget}
    for name, value in nested(pairs(options["settings"], "--set")).items():
        old = request.get(name)
        is_both = isinstance(old, dict) and isinstance(value, dict)
        request[name] = {**old, **value} if is_both else value  # type: ignore[dict-item]
    return request


@click.command()
@click.argument("data")
@click.option("--target", "-t", multiple=True, help="Column to predict; may be given again.")
@click.option("--model", "-m", help="Name of the model. Default: the file's name.")
@click.option("--space", metavar="FILE", help="Search space as JSON, in a file or as text.")
@click.option("--strategy", type=click.Choice(_STRATEGIES), help="Default: auto.")
@click.option("--trials", type=click.IntRange(1), help="Most trials.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="Longest search.")
@click.option("--epochs", type=click.IntRange(1), help="Most epochs of a trial.")
@click.option("--exclude", multiple=True, metavar="COLUMN", help="Column to leave out.")
@click.option("--type", "types", multiple=True, metavar="COLUMN=TYPE", help="Type of a column.")
@click.option("--option", "reading", multiple=True, metavar="NAME=JSON", help="How DATA is read.")
@click.option("--seed", type=int, help="The same seed gives the same trials.")
@click.option("--tag", "tags", multiple=True, help="Tag of the job.")
@click.option("--description", help="Text about the job.")
@click.option("--request", metavar="FILE", help="A whole request as JSON; options go before it.")
@click.option("--set", "settings", multiple=True, metavar="FIELD=JSON", help="Any other field.")
@click.option("--dry-run", is_flag=True, help="Show the plan and a forecast; start nothing.")
@click.option("--watch", "-w", is_flag=True, help="Show the search live until it has ended.")
@with_service("serve")
def tune(service: Service, data: str, watch: bool, dry_run: bool, **options: Any) -> None:
    """Tune networks on DATA: a file, a dataset's id, or builtin:NAME.

    The best becomes a version of the model, which `luthier predict` asks. Without a running service
    one is started, and the command waits for the end of the job.

    \b
    luthier tune examples/penguins.csv --target body_mass_g --watch
    luthier tune flats.csv -t price --trials 100 --strategy tpe --space space.json
    luthier tune flats.csv -t price --set objective=mae --set evaluation.method=holdout
    luthier tune builtin:iris -t target --dry-run
    """
    types = pairs(options.pop("types"), "--type")
    reading = {
        name: parse_json(text) for name, text in pairs(options.pop("reading"), "--option").items()
    }
    fields = request_of(options)
    if not data.startswith(("ds_", "builtin:")) and not Path(data).is_file():
        raise click.UsageError(f"There is no file {data!r}.")
    file = None
    if data.startswith(("ds_", "builtin:")):
        fields["dataset"] = data
    else:
        file = data
    if data.startswith("builtin:"):
        fields.setdefault("model", data.removeprefix("builtin:"))
    if dry_run:
        service.answer(service.client.plan(fields, file, types, reading), _show_plan)
        return
    found = service.client.tune(fields, file, types, reading)
    if not (watch or service.is_own):
        service.answer(found, lambda job: click.echo(f"{job['id']} {job['state']}"))
        return
    finish_command(service, follow_to_end(service, found))


def _show_plan(plan: dict[str, Any]) -> None:
    request, forecast = plan["request"], plan["forecast"]
    lines: list[tuple[str, Any]] = [
        ("model", request["model"]),
        ("target", request["target"]),
        ("task", request["task"]),
        ("strategy", json.dumps(request["strategy"])),
        ("trials", plan["trials"]),
        ("columns", ", ".join(plan["columns"]["used"])),
    ]
    lines += [
        (name.replace("_", " "), json.dumps(found)) for name, found in (forecast or {}).items()
    ]
    if plan["forecast_missing"]:
        lines.append(("no forecast", plan["forecast_missing"]))
    lines += [("warning", found["message"]) for found in plan["warnings"]]
    show_lines(lines)
