"""`luthier datasets`: list, upload, show and delete."""

from pathlib import Path
from typing import Any

import click

from luthier.client import Dataset
from luthier.commands.connection import Service, with_service
from luthier.commands.rendering import moment, show_lines, show_table, size
from luthier.commands.tune import pairs, parse_json


@click.group()
def datasets() -> None:
    """List, upload, show and delete datasets."""


@datasets.command(name="list")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@with_service()
def list_datasets(service: Service, limit: int) -> None:
    """List datasets, newest first."""
    body = service.client.request("GET", "/datasets", params={"limit": limit}).json()
    service.answer(body, lambda body: _show_list(body["items"]))


def _show_list(found: list[dict[str, Any]]) -> None:
    rows = [
        [
            each["id"],
            each["name"] or each["builtin"],
            each["rows"],
            len(each["columns"]),
            size(each["bytes"]),
            moment(each["created"]),
        ]
        for each in found
    ]
    headers = ("dataset", "name", "rows", "columns", "size", "created (UTC)")
    show_table(headers, rows, "There are no datasets.")


@datasets.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="Default: the file's name.")
@click.option("--type", "types", multiple=True, metavar="COLUMN=TYPE", help="Type of a column.")
@click.option("--option", "reading", multiple=True, metavar="NAME=JSON", help="How it is read.")
@with_service()
def upload(
    service: Service, file: Path, name: str | None, types: tuple[str, ...], reading: tuple[str, ...]
) -> None:
    """Store a file as a dataset, and show how it was read.

    \b
    luthier datasets upload flats.csv --type zip=category --option decimal=,
    """
    options = {key: parse_json(text) for key, text in pairs(reading, "--option").items()}
    made = service.client.upload(file, pairs(types, "--type"), name, options)
    service.answer(made, _show_dataset)


@datasets.command()
@click.argument("dataset")
@with_service()
def show(service: Service, dataset: str) -> None:
    """Show the columns of a dataset, and what to know about them."""
    service.answer(service.client.dataset(dataset), _show_dataset)


def _show_dataset(found: Dataset) -> None:
    show_lines([("dataset", found.id), ("name", found["name"]), ("rows", found.rows)])
    rows = [
        [column["name"], column["type"], column["missing"], column["distinct"], *_range(column)]
        for column in found["columns"]
    ]
    headers = ("column", "type", "missing", "distinct", "from", "to", "frequent")
    show_table(headers, rows, "It has no columns.")
    for warning in found["warnings"] or []:
        click.echo(f"warning: {warning['message']}")


def _range(column: dict[str, Any]) -> list[Any]:
    frequent = ", ".join(str(each["value"]) for each in (column.get("frequent") or [])[:3])
    return [column.get("min"), column.get("max"), frequent or None]


@datasets.command()
@click.argument("dataset")
@with_service()
def delete(service: Service, dataset: str) -> None:
    """Delete a dataset that no unfinished job needs."""
    service.client.delete_dataset(dataset)
    service.answer({"deleted": dataset}, lambda _: click.echo(f"{dataset} is deleted."))
