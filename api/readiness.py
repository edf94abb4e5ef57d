"""Whether requests can be served, and what is missing."""

import logging
import secrets
import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from models.store.artifacts import Artifacts
from models.store.engine import Database

OK = "ok"
ARTIFACTS_EVERY = 10.0  # seconds between two trials of artifacts that were found well

log = logging.getLogger(__name__)


class Readiness:
    """The checks of one process."""

    def __init__(self, database: Database, artifacts: Artifacts) -> None:
        self.is_draining: Callable[[], bool] = lambda: False  # whether the process is to end soon
        self._database = database
        self._artifacts = artifacts
        self._tried_again_at = 0.0  # by the monotonic clock

    def checks(self) -> dict[str, str]:
        """Every check by its name: `ok`, or what is wrong. A process that ends checks no more."""
        if self.is_draining():
            return {"process": "The process is draining: it ends soon."}
        return {"process": OK, "database": self._check_database(), "artifacts": self._try_files()}

    def _check_database(self) -> str:
        try:
            if not self._database.is_current:
                return "The database lacks migrations; run: luthier migrate"
        except SQLAlchemyError:
            return "The database does not answer."
        return OK

    def _try_files(self) -> str:
        if time.monotonic() < self._tried_again_at:
            return OK
        name, content = f"probe-{secrets.token_hex(8)}", b"ready"
        try:
            self._artifacts.write(name, content)
            is_same = self._artifacts.read(name) == content
            self._artifacts.delete(name)
        except Exception as error:  # every store of fsspec has errors of its own
            log.warning("the artifacts cannot be used: %s", error)
            return f"The artifacts cannot be written and read: {type(error).__name__}."
        if not is_same:
            return "The artifacts answer something else than was written."
        self._tried_again_at = time.monotonic() + ARTIFACTS_EVERY
        return OK
