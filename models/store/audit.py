"""Who changes what: the command that is being carried out, and its entry in the audit table.

`Database.write` records it: every transaction that changes rows while there is a command writes the
command's entry along, whichever code opened it. A command has one entry: later transactions of it
complete the entry that the first one wrote. Workers have no commands.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, ExecutionContext, event, insert, update

from models.store.tables import audit, now


@dataclass(frozen=True, slots=True)
class Actor:
    """The one who gives a command."""

    name: str  # of the API key, `anonymous`, or the command line such as `luthier keys`
    key_id: str | None = None  # of a stored API key
    may_promote: bool = True  # whether it may move aliases


@dataclass(slots=True)
class Command:
    """One request, or one call of the command line, that may change something."""

    actor: Actor
    operation: str  # operationId in the OpenAPI document
    kind: str  # of the thing that it is about, such as `job`
    id: str | None = None  # of that thing; None until it is made
    details: dict[str, Any] = field(default_factory=dict)  # of what was changed, as JSON
    request_id: str | None = None
    on_change: Callable[[Connection, "Command"], None] | None = None  # once there is an id
    entry: int | None = None  # number of the committed entry

    def record(self, connection: Connection) -> int:
        """Write the entry, or what is new in it, in the transaction of a change; return its number.

        What `on_change` raises rolls the change back.
        """
        known = {"id": self.id, "details": self.details}
        if self.entry is None:
            row = {
                "time": now(),
                "key_id": self.actor.key_id,
                "key_name": self.actor.name,
                "operation": self.operation,
                "kind": self.kind,
                "request_id": self.request_id,
            }
            written = connection.execute(insert(audit).values(row | known))
            assert written.inserted_primary_key is not None
            entry = int(written.inserted_primary_key[0])
        else:
            entry = self.entry
            connection.execute(update(audit).where(audit.c.entry == entry).values(known))
        if self.on_change is not None and self.id is not None:
            self.on_change(connection, self)
        return entry


_present: ContextVar[Command | None] = ContextVar("command", default=None)


def carry_out(command: Command | None) -> None:
    """Let `command` be the one that this thread carries out from now on; None for none."""
    _present.set(command)


@contextmanager
def carrying_out(command: Command | None) -> Iterator[None]:
    """Let `command` be the one that this thread carries out in the block; None for none."""
    token = _present.set(command)
    try:
        yield
    finally:
        _present.reset(token)


@contextmanager
def carrying_out_for(identity: str) -> Iterator[None]:
    """Let the present command, which is about several things, be about one of them in the block.

    So each of them has an entry.
    """
    command = _present.get()
    if command is None:
        yield
        return
    with carrying_out(replace(command, id=identity, details=dict(command.details), entry=None)):
        yield


def actor_name() -> str | None:
    """Return the name of the one who gave the present command; None without one."""
    command = _present.get()
    return None if command is None else command.actor.name


def actor_may_promote() -> bool:
    """Return whether the one who gave the present command may move aliases; so may a worker."""
    command = _present.get()
    return command is None or command.actor.may_promote


def tell(kind: str | None = None, identity: str | None = None, /, **details: Any) -> None:
    """Add to what the present command's entry says; do nothing without a command.

    `kind` and `identity` name a thing that is made. It is the one that the command is about if that
    is of this kind and has no id yet, and part of the details otherwise.
    """
    command = _present.get()
    if command is None:
        return
    if kind is not None:
        if command.kind == kind and command.id in (None, identity):
            command.id = identity
        else:
            command.details[kind] = identity
    command.details |= details


@contextmanager
def recorded(transaction: AbstractContextManager[Connection]) -> Iterator[Connection]:
    """Open a transaction that also writes the present command's entry if it changes a row."""
    command = _present.get()
    if command is None:
        with transaction as connection:
            yield connection
        return
    entry = command.entry
    with transaction as connection:
        watch = _Watch()
        event.listen(connection, "after_cursor_execute", watch.executed)
        yield connection
        if watch.has_changed:
            entry = command.record(connection)
    command.entry = entry  # only now is it committed


class _Watch:
    """Notices whether a transaction changes rows."""

    def __init__(self) -> None:
        self.has_changed = False

    def executed(
        self,
        _connection: Connection,
        cursor: Any,
        _statement: str,
        _parameters: object,
        context: ExecutionContext | None,
        _many: bool,
    ) -> None:
        """Look at a statement that was executed.

        SQLite counts the rows of one with RETURNING only when they are fetched: such a statement is
        taken for a change.
        """
        done: Any = context
        if done.isinsert or done.isupdate or done.isdelete:
            returns = done.compiled is not None and done.compiled.effective_returning
            self.has_changed |= bool(returns) or cursor.rowcount != 0
