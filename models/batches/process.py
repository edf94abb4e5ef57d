"""The process that works on one claimed batch: `python -m models.batches.process`.

It is a process of its own so that a batch takes no time from the worker's other threads, and so
that only it dies of a batch that takes too much memory. Its task is JSON on standard input.
"""

import ctypes
import json
import logging
import os
import resource
import signal
import subprocess
import sys
from contextlib import closing, suppress
from dataclasses import asdict, dataclass

from sqlalchemy.exc import DBAPIError

from models.errors import LeaseLost, LuthierError, Unavailable
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.telemetry import about, configure_logging

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
_TRY_AGAIN = os.EX_TEMPFAIL
# Memory is given back as soon as a piece is done.
_FRUGAL = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchTask:
    """A claimed batch, and where everything is."""

    batch: str
    owner: str
    claim: int
    database_url: str
    artifacts: str
    memory: int  # bytes that the process may take
    log_level: str
    log_format: str

    @classmethod
    def of(cls, settings: Settings, batch: str, owner: str, claim: int) -> "BatchTask":
        """Return the task under some settings."""
        return cls(
            batch,
            owner,
            claim,
            settings.resolved_database_url,
            settings.resolved_artifacts,
            settings.trial_memory,
            settings.log_level,
            settings.log_format,
        )


def start(task: BatchTask) -> "subprocess.Popen[bytes]":
    """Start the process of a task; it dies with the thread that started it."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        env={**os.environ, **_FRUGAL, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin as stdin:
        stdin.write(json.dumps(asdict(task) | {"parent": os.getpid()}).encode())
    return process


def is_to_be_tried_again(status: int) -> bool:
    """Return whether the process ended because database or artifacts did not answer."""
    return status == _TRY_AGAIN


def main() -> int:
    """Do the task of standard input; return the exit status."""
    document = json.load(sys.stdin)
    parent = document.pop("parent")
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        return _TRY_AGAIN  # it has died already
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the worker ends this process
    task = BatchTask(**document)
    configure_logging(task.log_level, task.log_format)
    resource.setrlimit(resource.RLIMIT_DATA, (task.memory, task.memory))
    Artifacts.makes_roots = False
    with about(batch=task.batch):
        return work(task)


def work(task: BatchTask) -> int:
    """Work on a batch until it has ended or is another's; return the exit status."""
    from models.batches.queue import HeldBatch
    from models.batches.run import BatchRun
    from models.registry.catalog.catalog import ModelCatalog
    from models.registry.files import VersionFiles
    from models.serving.engine import PredictionEngine
    from models.store.engine import Database

    artifacts = Artifacts(task.artifacts)
    with closing(Database(task.database_url, connections=1)) as database:
        held = HeldBatch(database, task.batch, task.owner, task.claim)
        predictions = PredictionEngine(VersionFiles(artifacts, ModelCatalog(database).files), 1)
        try:
            try:
                for batch in BatchRun(held, artifacts, predictions).steps():
                    log.info("%s of %s rows are predicted", batch.rows_done, batch.rows)
            except (LeaseLost, Unavailable):
                raise
            except LuthierError as error:
                log.error("the batch failed: %s", error)
                held.fail(str(error))
        except LeaseLost as lost:
            log.info("%s", lost)
        except (Unavailable, DBAPIError, OSError) as error:
            log.error("database or artifacts do not answer; trying again: %s", error)
            return _TRY_AGAIN
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
