"""Whether requests can be served, and what is missing."""

import time
from collections.abc import Callable

from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.readiness import artifacts_trouble, database_trouble

OK = "ok"
ARTIFACTS_EVERY = 10.0  # seconds between two trials of artifacts that were found well


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
        database = database_trouble(self._database) or OK
        return {"process": OK, "database": database, "artifacts": self._try_artifacts() or OK}

    def _try_artifacts(self) -> str | None:
        if time.monotonic() < self._tried_again_at:
            return None
        trouble = artifacts_trouble(self._artifacts)
        if trouble is None:
            self._tried_again_at = time.monotonic() + ARTIFACTS_EVERY
        return trouble
