"""Real `luthier worker` processes over one database and one artifact root."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from models.jobs.commands import JobCommands
from models.jobs.model import Job, JobState, Trial, TrialState
from models.jobs.reader import JobReader
from models.store.artifacts import Artifacts
from models.store.changes import Changes
from models.store.engine import Database
from models.store.migrate import migrate
from tests.processes import STOP_WITHIN, Process, running
from tests.waiting import PATIENCE, Found, wait_until

LEASE_SECONDS = 6


@dataclass
class Plane:
    """Workers over one database, and what a user may do and see."""

    data: Path
    database: Database
    commands: JobCommands
    reader: JobReader
    stack: contextlib.ExitStack
    changes: Changes
    workers: list[tuple[Process, Path]] = field(default_factory=list)

    def start_worker(self, trial_slots: int) -> None:
        log = self.data.parent / f"worker-{len(self.workers)}.log"
        settings = {"data": self.data, "lease_seconds": LEASE_SECONDS, "trial_slots": trial_slots}
        process = self.stack.enter_context(
            running("worker", log, trial_memory=4 * 1024**3, **settings)
        )
        self.workers.append((process, log))

    def holder(self, job: Job) -> Process:
        """The worker that has claimed a job."""

        def claimed() -> Process | None:
            return next(
                (process for process, log in self.alive() if job.id in log.read_text()), None
            )

        return wait_until(claimed, PATIENCE)

    def alive(self) -> list[tuple[Process, Path]]:
        return [(process, log) for process, log in self.workers if process.poll() is None]

    def get(self, job: Job) -> Job:
        return self.reader.get(job.id)

    def trials(self, job: Job, *states: TrialState) -> list[Trial]:
        return self.reader.trials(job, states=states or None)

    def until(self, job: Job, state: JobState) -> Job:
        """The job once it is in `state`; fails if it ends in another."""

        def reached() -> Job | None:
            found = self.get(job)
            assert found.state == state or not found.state.is_final, found
            return found if found.state == state else None

        return self.wait(reached)

    def until_trials(self, job: Job, count: int, *states: TrialState) -> list[Trial]:
        def reached() -> list[Trial] | None:
            found = self.trials(job, *states)
            return found if len(found) >= count else None

        return self.wait(reached)

    def wait(self, condition: Callable[[], Found | None]) -> Found:
        """The first true answer of `condition`, asked anew after each commit: soon, and cheaply."""
        while not (found := condition()):
            wait_until(self.changes.noticed, every=0.001)
        return found


@contextlib.contextmanager
def opened(data: Path) -> Iterator[Plane]:
    """A plane without workers over a new database; its workers must stop cleanly at the end."""
    database = Database(f"sqlite:///{data}/luthier.db")
    migrate(database)
    commands = JobCommands(database, Artifacts(str(data / "artifacts")))
    changes = Changes(database)
    with contextlib.ExitStack() as stack:
        plane = Plane(data, database, commands, JobReader(database), stack, changes)
        yield plane
        for process, log in plane.alive():
            process.terminate()
            assert process.wait(STOP_WITHIN) == 0, log.read_text()
    changes.close()
    database.close()
