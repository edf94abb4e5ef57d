"""Labels of jobs: the tags that find them, and a description. No search depends on them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from models.store.audit import tell
from models.store.tables import job_tags, jobs

Labels = Mapping[str, Any]  # new `tags` and `description`; those left out stay


def tags_of(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the tags of each job that has some, in the order in which they were given."""
    query = select(job_tags.c.job, job_tags.c.tag).where(job_tags.c.job.in_(ids))
    found: dict[str, tuple[str, ...]] = {}
    for job, tag in connection.execute(query.order_by(job_tags.c.place)):
        found[job] = (*found.get(job, ()), tag)
    return found


def add_tags(connection: Connection, job: str, tags: Sequence[str]) -> None:
    """Give tags to a job that has none."""
    if tags:
        rows = [{"job": job, "tag": tag, "place": place} for place, tag in enumerate(tags)]
        connection.execute(insert(job_tags), rows)


def put_labels(connection: Connection, job: str, labels: Labels) -> None:
    """Replace labels of a job whose row is locked."""
    if "tags" in labels:
        connection.execute(delete(job_tags).where(job_tags.c.job == job))
        add_tags(connection, job, labels["tags"])
    if "description" in labels:
        change = update(jobs).where(jobs.c.id == job)
        connection.execute(change.values(description=labels["description"]))
    tell(**labels)


def with_tags(tags: Sequence[str]) -> list[ColumnElement[bool]]:
    """Return the conditions that a row of `jobs` has all of these tags."""
    return [
        jobs.c.id.in_(select(job_tags.c.job).where(job_tags.c.tag == tag)) for tag in sorted(tags)
    ]
