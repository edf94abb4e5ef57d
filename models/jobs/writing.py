"""Transactions of the worker that holds a job, and how several changes share one."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from sqlalchemy import Connection, select

from models.errors import LeaseLost
from models.jobs.events import NewEvent, record
from models.store.engine import Database
from models.store.tables import jobs


class Page:
    """What one transaction writes; the job's own row and the events come once, at its end."""

    def __init__(self, connection: Connection, job: str) -> None:
        self.connection = connection
        self.events: list[NewEvent] = []
        self.columns: dict[str, Any] = {}  # of the job's row
        self._job = job

    def flush(self) -> None:
        """Write the events and columns so far."""
        record(self.connection, self._job, self.events, self.columns)
        self.events, self.columns = [], {}


class JobWriter:
    """Every write is one transaction that first checks that `owner` still holds the job.

    All methods raise LeaseLost if it does not; nothing is written then. A batch is not thread-safe.
    """

    def __init__(self, database: Database, job: str, owner: str) -> None:
        self._database = database
        self._job = job
        self._owner = owner
        self._stack: ExitStack | None = None  # of the open batch
        self._page: Page | None = None  # of the open batch, once something was written
        self._actions: list[Callable[[], None]] = []

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Keep all that is written inside, in one transaction; after an exception nothing of it."""
        with ExitStack() as stack:
            self._stack = stack
            try:
                yield
                if self._page is not None:
                    self._page.flush()
                actions = self._actions
            finally:
                self._stack, self._page, self._actions = None, None, []
        for action in actions:
            action()

    def afterwards(self, action: Callable[[], None]) -> None:
        """Do `action` once all that was written so far is kept, and only then."""
        if self._stack is None:
            action()
        else:
            self._actions.append(action)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A write transaction in which the job is still this worker's."""
        with self._writing() as page:
            page.flush()
            yield page.connection

    @contextmanager
    def _writing(self) -> Iterator[Page]:
        """The page of the open batch, or one of its own."""
        if self._stack is None:
            with self._open_page() as page:
                yield page
                page.flush()
            return
        if self._page is None:
            self._page = self._stack.enter_context(self._open_page())
        yield self._page

    @contextmanager
    def _open_page(self) -> Iterator[Page]:
        with self._database.write() as connection:
            self._check_owner(connection)
            yield Page(connection, self._job)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """Reads what the open batch has written, too."""
        if self._page is not None:
            yield self._page.connection
            return
        with self._database.read() as connection:
            yield connection

    def _check_owner(self, connection: Connection) -> None:
        query = select(jobs.c.owner).where(jobs.c.id == self._job).with_for_update()
        if connection.execute(query).scalar_one_or_none() != self._owner:
            raise LeaseLost(f"Job {self._job} is no longer held by {self._owner}.")
