"""Rounds one after another against services that are used again while they are whole.

Several lanes may run at once, each in a process of its own with a service of its own: they share
nothing but the cores.
"""

import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any

from tests.chaos.plan import RoundPlan
from tests.chaos.reference import Reference
from tests.chaos.rounds import Known, Outcome, run_round
from tests.chaos.service.deployment import Deployment
from tests.postgres import PostgresServer

ROUNDS_OF_A_SERVICE = 25
_LOOK_EVERY = 1.0  # seconds


class Lane:
    """Runs rounds of one kind of database and executor; `close` ends its service."""

    def __init__(self, folder: Path, database: str, executor: str = "local") -> None:
        self._folder = folder
        self._executor = executor
        self._database = database
        self._postgres: PostgresServer | None = None
        self._deployment: Deployment | None = None
        self._known = Known()
        self._rounds = 0  # of the present service
        self._services = 0

    def run(self, plan: RoundPlan, reference: Reference, is_last: bool = False) -> Outcome:
        """Run a round; after a breach, or enough rounds, the service is ended and checked."""
        deployment = self.started()
        outcome = run_round(plan, deployment, reference, self._known)
        self._rounds += 1
        if outcome.breaches or is_last or self._rounds >= ROUNDS_OF_A_SERVICE:
            self._end(deployment, outcome)
        return outcome

    def started(self) -> Deployment:
        """Return the service, which is started unless it runs."""
        if self._deployment is not None:
            return self._deployment
        if self._database == "postgresql" and self._postgres is None:
            self._postgres = PostgresServer(survives_kills=True)
        self._services += 1
        folder = self._folder / f"{self._database}-{self._services}"
        self._deployment = Deployment(
            folder, self._database, self._postgres, executor=self._executor
        )
        self._deployment.start()
        self._known, self._rounds = Known(), 0
        return self._deployment

    def close(self) -> None:
        """End what still runs."""
        if self._deployment is not None:
            self._deployment.close()
            self._deployment.release(keep=False)
            self._deployment = None
        if self._postgres is not None:
            self._postgres.remove()
            self._postgres = None

    def _end(self, deployment: Deployment, outcome: Outcome) -> None:
        """Stop the service; what it leaves then counts as a breach of its last round."""
        self._deployment = None
        left = {
            "temporary": deployment.close(),
            "orphans": deployment.orphans,
            "exits": deployment.exits,
        }
        for column, texts in left.items():
            if fresh := self._known.new(column, texts):
                outcome.breaches.setdefault(column, []).extend(fresh)
        deployment.release(keep=bool(outcome.breaches))
        outcome.folder = str(deployment.folder) if outcome.breaches else ""


@contextmanager
def opened(folder: Path, database: str, executor: str = "local") -> Iterator[Lane]:
    """A lane that is closed at the end."""
    lane = Lane(folder, database, executor)
    try:
        yield lane
    finally:
        lane.close()


def stop_on_signals() -> None:
    """Let the first SIGTERM or SIGINT raise KeyboardInterrupt, so that services are ended."""
    numbers = (signal.SIGTERM, signal.SIGINT)

    def interrupt(*_: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, interrupt)


def run_lanes(
    lanes: Sequence[tuple[str, Sequence[RoundPlan]]],
    reference: Reference,
    folder: Path,
    report: Callable[[Outcome], None],
) -> None:
    """Run each lane, a database and its rounds, at once; `report` is called after each round.

    Raises RuntimeError for a lane that the harness itself broke.
    """
    context = multiprocessing.get_context("spawn")
    outcomes: Any = context.Queue()
    stop = context.Event()
    processes = [
        context.Process(
            target=_run_lane,
            args=(folder / f"lane-{number}", *lane, dict(reference), outcomes, stop),
        )
        for number, lane in enumerate(lanes)
    ]
    for process in processes:
        process.start()
    try:
        _collect(processes, outcomes, report)
    except KeyboardInterrupt:
        for process in processes:
            process.terminate()
        raise
    finally:
        stop.set()  # after their present rounds
        for process in processes:
            process.join()


def _collect(processes: Sequence[Any], outcomes: Any, report: Callable[[Outcome], None]) -> None:
    left = len(processes)
    while left:
        try:
            found = outcomes.get(timeout=_LOOK_EVERY)
        except Empty:
            if not any(process.is_alive() for process in processes):
                raise RuntimeError("A lane ended without a word.") from None
            continue
        if isinstance(found, Outcome):
            report(found)
        elif found is None:
            left -= 1
        else:
            raise RuntimeError(f"The harness failed:\n{found}")


def _run_lane(
    folder: Path,
    database: str,
    plans: Sequence[RoundPlan],
    reference: Reference,
    outcomes: Any,
    stop: Any,
) -> None:
    stop_on_signals()
    try:
        with opened(folder, database, plans[0].executor) as lane:
            for number, plan in enumerate(plans, 1):
                if stop.is_set():
                    break
                outcomes.put(lane.run(plan, reference, number == len(plans)))
        outcomes.put(None)
    except KeyboardInterrupt:
        outcomes.put(None)
    except Exception:
        outcomes.put(traceback.format_exc())
    # What was put is written by a thread that a process does not wait for when it is ended.
    outcomes.close()
    outcomes.join_thread()
