"""Jobs that workers claim at the same time: how many a second, and each of them once."""

import multiprocessing
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from sqlalchemy import delete, insert, select

from models.jobs.model import JobState
from models.jobs.store.held_job import HeldJob
from models.jobs.store.queue import JobQueue
from models.store.engine import Database
from models.store.tables import jobs, now

LEASE = 600.0


@dataclass(frozen=True, slots=True)
class Claims:
    """What so many workers have claimed and ended."""

    workers: int
    claimed: int
    doubles: int
    missed: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Jobs that were claimed and ended."""
        return self.claimed / self.seconds


def measure(url: str, workers: int, count: int) -> Claims:
    """Queue `count` jobs; have so many processes claim and end them until none is left."""
    database = Database(url)
    _queue(database, count)
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawning) as pool:
        list(pool.map(_connect, [url] * workers * 4))  # every process has started and connected
        started = time.perf_counter()
        taken = pool.map(_claim_all, [url] * workers, [f"w-{n}" for n in range(workers)])
        times = Counter(job for jobs_of_one in taken for job in jobs_of_one)
        seconds = time.perf_counter() - started
    with database.read() as connection:
        left = connection.execute(select(jobs.c.id).where(jobs.c.state != JobState.FAILED)).all()
    database.close()
    doubles = sum(number - 1 for number in times.values())
    return Claims(workers, sum(times.values()), doubles, len(left) + count - len(times), seconds)


def _queue(database: Database, count: int) -> None:
    rows = [
        {
            "id": f"job_{number:06}",
            "model": "m",
            "state": JobState.QUEUED,
            "spec": {},
            "planned_trials": 1,
            "created": now(),
        }
        for number in range(count)
    ]
    with database.write() as connection:
        connection.execute(delete(jobs))
        connection.execute(insert(jobs), rows)


def _connect(url: str) -> None:
    database = Database(url)
    database.revision()
    database.close()
    time.sleep(0.2)


def _claim_all(url: str, owner: str) -> list[str]:
    """Claim the next job and end it, until there is none; return the ids."""
    database = Database(url)
    queue = JobQueue(database, owner, LEASE)
    taken = []
    while (job := queue.claim()) is not None:
        taken.append(job.id)
        HeldJob(database, job.id, owner, job.claims).finish(JobState.FAILED, error="as told")
    database.close()
    return taken
