"""`luthier gc` and `luthier fsck`: files without rows, and rows without files."""

import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict

import click

from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.audit import Actor, Command, carrying_out
from models.store.engine import Database

MIN_AGE = 3600.0  # seconds; younger files may belong to a row that is yet to be written


@click.command()
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and remove nothing.")
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    default=MIN_AGE,
    show_default=True,
    metavar="SECONDS",
    help="Leave younger files alone: their row may be yet to be written.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def gc(settings: Settings, dry_run: bool, older_than: float, as_json: bool) -> None:
    """Remove stored files that no row names, and give free space of SQLite back."""
    from models.retention.collection import Collection
    from models.retention.remover import Remover

    command = Command(Actor("luthier gc"), "collectGarbage", "storage")
    with carrying_out(command), _parts(settings) as (database, artifacts):
        remover = Remover(database, artifacts, settings.keep_weights_days)
        collection = Collection(artifacts, remover)
        found = collection.find(older_than)
        if dry_run:
            files = [file for garbage in found for file in garbage.files]
        else:
            files = collection.remove(found)
            database.give_space_back(whole=True)
        size = database.bytes()
    total = sum(file.bytes for file in files)
    if as_json:
        listed = [{"name": file.name, "bytes": file.bytes} for file in files]
        click.echo(json.dumps({"files": listed, "bytes": total}))
        return
    for file in files:
        click.echo(f"{file.bytes:>14,}  {file.name}")
    done = "would be removed" if dry_run else "removed"
    click.echo(f"{len(files):,} files {done}: {total:,} bytes. The database has {size:,} bytes.")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def fsck(settings: Settings, as_json: bool) -> None:
    """Check that the files of every row are there and unchanged; exit with 1 if not."""
    from models.retention.integrity import Integrity

    with _parts(settings) as (database, artifacts):
        faults = list(Integrity(database, artifacts).faults())
    if as_json:
        click.echo(json.dumps({"faults": [asdict(fault) for fault in faults]}))
    else:
        for fault in faults:
            click.echo(f"{fault.kind}  {fault.name}  {fault.message}")
        click.echo(f"{len(faults):,} faults.")
    if faults:
        sys.exit(1)


@contextmanager
def _parts(settings: Settings) -> Iterator[tuple[Database, Artifacts]]:
    """Open database and artifacts; raises SchemaError for a database of another version."""
    from models.store.readiness import check_schema

    with closing(Database(settings.resolved_database_url)) as database:
        check_schema(database)
        yield database, Artifacts(settings.resolved_artifacts)
