"""Figures in the database: one row a version, minute and process, later one a version and hour."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from models.monitoring.figures import Figures
from models.store.engine import Database
from models.store.tables import feedback, now, prediction_figures

FOLD_AFTER = timedelta(hours=2)  # when rows of minutes become one of their hour
_AT_ONCE = 2000  # rows of minutes of one sweep
_ALL = ""  # the process of a row of an hour


class Minute(NamedTuple):
    """What figures are of."""

    model: str
    version: int
    minute: datetime  # its beginning


class Period(NamedTuple):
    """The figures of one version over some time."""

    first: datetime  # beginning of the first minute, or hour, with a request
    figures: Figures


def write_figures(connection: Connection, process: str, counted: Mapping[Minute, Figures]) -> None:
    """Write what a process has counted so far in some minutes, in place of what it wrote before."""
    table = prediction_figures
    for key, figures in counted.items():
        place = {**key._asdict(), "process": process}
        values = figures.to_row()
        mine = [table.c[name] == value for name, value in place.items()]
        if not connection.execute(update(table).where(*mine).values(values)).rowcount:
            connection.execute(insert(table).values(place | values))


def read_figures(
    connection: Connection, model: str, since: datetime, version: int | None = None
) -> dict[int, Period]:
    """Return the figures of each version of a model, or of one, from the minute of `since` on."""
    table = prediction_figures
    query = select(table).where(table.c.model == model, table.c.minute >= minute_of(since))
    if version is not None:
        query = query.where(table.c.version == version)
    found: dict[int, Period] = {}
    for row in connection.execute(query.order_by(table.c.minute)):
        period = found.setdefault(row.version, Period(row.minute, Figures()))
        period.figures.add(Figures.from_row(row._mapping))
    return found


def minute_of(time: datetime) -> datetime:
    """Return the beginning of the minute of a time."""
    return time.replace(second=0, microsecond=0)


def fold_figures(database: Database) -> None:
    """Add up the rows of minutes that are older than FOLD_AFTER into rows of hours."""
    table = prediction_figures
    before = now() - FOLD_AFTER
    with database.write() as connection:
        query = (
            select(table)
            .where(table.c.minute < before, table.c.process != _ALL)
            .order_by(table.c.minute)
            .limit(_AT_ONCE)
        )
        hours: dict[Minute, Figures] = defaultdict(Figures)
        for row in connection.execute(query.with_for_update()).all():
            key = (row.model, row.version, row.minute, row.process)
            names = ("model", "version", "minute", "process")
            mine = [table.c[name] == value for name, value in zip(names, key, strict=True)]
            if connection.execute(delete(table).where(*mine)).rowcount:
                hour = Minute(row.model, row.version, row.minute.replace(minute=0))
                hours[hour].add(Figures.from_row(row._mapping))
        for hour, figures in hours.items():
            place = [table.c[name] == value for name, value in hour._asdict().items()]
            known = select(table).where(*place, table.c.process == _ALL)
            written = connection.execute(known).one_or_none()
            if written is not None:
                figures.add(Figures.from_row(written._mapping))
        write_figures(connection, _ALL, hours)


def drop_old(database: Database, before: datetime) -> None:
    """Delete figures and feedback of the time before."""
    with database.write() as connection:
        table = prediction_figures
        connection.execute(delete(table).where(table.c.minute < before))
        connection.execute(delete(feedback).where(feedback.c.received < before))
