"""The sweep: from time to time one worker removes what was listed and what is too old."""

import logging
import threading
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import timedelta

from sqlalchemy import insert, or_, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from models.errors import LuthierError
from models.jobs.commands import JobCommands
from models.retention.deletion import Deletion
from models.retention.remover import Remover
from models.retention.rules import Rules
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database, moment, working_beside
from models.store.removals import listed
from models.store.tables import sweeps

_NAME = "retention"
_AT_ONCE = 1000  # listed folders of one sweep
_LOOK_SECONDS = 10.0  # at most, between two looks whether a sweep is due

log = logging.getLogger(__name__)


class Sweeper:
    """Takes turns with the sweepers of other workers over one database.

    A folder is left to the process that has listed it for two leases: as long may a worker that
    was replaced still write files.
    """

    def __init__(self, database: Database, artifacts: Artifacts, settings: Settings) -> None:
        self._database = database
        self._every = settings.sweep_seconds
        self._grace = timedelta(seconds=2 * settings.lease_seconds)
        self._remover = Remover(database, artifacts, settings.keep_weights_days)
        deletion = Deletion(database, JobCommands(database, artifacts), self._remover)
        self._rules = Rules(database, artifacts, deletion, settings)

    def run(self, stop: threading.Event) -> None:
        """Sweep whenever it is due and no other worker does, until `stop` is set."""
        while not stop.wait(min(self._every, _LOOK_SECONDS)):
            try:
                if self._take_turn():
                    self.sweep(stop)
            except (DBAPIError, LuthierError) as error:
                log.warning("the sweep is tried again later: %s", error)
            except Exception:
                log.exception("the sweep failed; it is tried again later")

    def sweep(self, stop: threading.Event) -> None:
        """Apply the rules of the settings, remove what is listed, give space back."""
        self._rules.apply()
        with self._database.read() as connection:
            names = listed(connection, moment(connection), self._grace, _AT_ONCE)
        for name in names:
            if stop.is_set():
                return
            self._remover.settle(name)
        self._database.give_space_back()

    def _take_turn(self) -> bool:
        """Return whether a sweep is due and this worker is the one to do it.

        One that is due later than this worker would plan was planned by a clock that has been set
        back since.
        """
        with self._database.write() as connection:
            present = moment(connection)
            following = present + timedelta(seconds=self._every)
            is_due = or_(sweeps.c.due <= present, sweeps.c.due > following)
            mine = update(sweeps).where(sweeps.c.name == _NAME, is_due)
            if connection.execute(mine.values(due=following)).rowcount:
                return True
        with suppress(IntegrityError), self._database.write() as connection:
            connection.execute(insert(sweeps).values(name=_NAME, due=present))
        return False


def sweeping(settings: Settings) -> AbstractContextManager[None]:
    """Sweep in a thread of its own for the time of the block; not at all with 0 `sweep_seconds`."""
    if not settings.sweep_seconds:
        return nullcontext()

    def sweep(database: Database, stop: threading.Event) -> None:
        Sweeper(database, Artifacts(settings.resolved_artifacts), settings).run(stop)

    return working_beside(settings.resolved_database_url, "sweep", sweep)
