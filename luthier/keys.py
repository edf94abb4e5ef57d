"""`luthier keys`: make, list and revoke API keys."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime

import click

from models.access.catalog import KeyCatalog
from models.access.keys import Scope
from models.errors import Unavailable
from models.settings import Settings
from models.store.audit import Actor, Command, carrying_out
from models.store.engine import Database


@click.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command()
@click.option("--name", required=True, help="Who or what the key is for.")
@click.option("--scopes", required=True, help=f"Of {', '.join(Scope)}; commas between.")
@click.option("--expires", help="ISO 8601 date or moment, UTC unless it says otherwise.")
@click.pass_obj
def create(settings: Settings, name: str, scopes: str, expires: str | None) -> None:
    """Make a key and print it; it is not stored and cannot be shown again."""
    moment = None if expires is None else _moment(expires)
    with _catalog(settings) as catalog, carrying_out(_command("createKey")):
        record, key = catalog.create(name, [each.strip() for each in scopes.split(",")], moment)
    click.echo(key)
    click.echo(
        f"Keep it: it is not shown again. `luthier keys revoke {record.id}` ends it.", err=True
    )


@keys.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def list_keys(settings: Settings, as_json: bool) -> None:
    """List the keys, without their secrets."""
    headers = ("ID", "NAME", "SCOPES", "CREATED", "EXPIRES", "STATE")
    rows = [headers]
    with _catalog(settings) as catalog:
        for key in catalog.all():
            scopes = ",".join(sorted(key.scopes))
            moments = _shown(key.created), _shown(key.expires)
            rows.append((key.id, key.name, scopes, *moments, key.state))
    if as_json:
        names = [header.lower() for header in headers]
        items = [dict(zip(names, row, strict=True)) for row in rows[1:]]
        click.echo(json.dumps({"items": items}))
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())


@keys.command()
@click.argument("key_id", metavar="ID")
@click.pass_obj
def revoke(settings: Settings, key_id: str) -> None:
    """Revoke the key that `luthier keys list` shows as ID."""
    with _catalog(settings) as catalog, carrying_out(_command("revokeKey")):
        record = catalog.revoke(key_id)
    click.echo(f"The key {record.name!r} is revoked.")


@contextmanager
def _catalog(settings: Settings) -> Iterator[KeyCatalog]:
    with closing(Database(settings.resolved_database_url)) as database:
        if not database.is_current:
            raise Unavailable("The database lacks migrations; run: luthier migrate")
        yield KeyCatalog(database)


def _command(operation: str) -> Command:
    return Command(Actor("luthier keys"), operation, "key")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not as in 2030-12-31.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _shown(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"
