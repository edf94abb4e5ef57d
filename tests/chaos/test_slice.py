"""A few rounds of `make chaos` with each database, chosen for the faults that they have."""

from collections.abc import Iterator

import pytest

from tests.chaos.lanes import Lane, opened
from tests.chaos.plan import plan_round
from tests.chaos.reference import Reference, run_references
from tests.chaos.table import described

SEEDS = {
    # A raised budget and a locked database; a trial process; a clock that jumps; a full disk while
    # the winner is saved; a damaged version.
    "sqlite": (49, 36, 45, 23, 50),
    # Ended connections; PostgreSQL killed; a worker killed; a worker paused past its lease.
    "postgresql": (53, 51, 5, 44),
}
PLANS = {
    database: [plan_round(seed, database) for seed in seeds] for database, seeds in SEEDS.items()
}


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lane]:
    with opened(tmp_path_factory.mktemp("chaos"), "sqlite") as lane:
        yield lane


@pytest.fixture(scope="module")
def reference(sqlite: Lane) -> Reference:
    """The rounds' jobs without faults, by the service that has faults later."""
    plans = [plan for several in PLANS.values() for plan in several]
    return run_references(plans, sqlite.started())


def test_faults_of_a_service_over_sqlite_break_no_promise(
    sqlite: Lane, reference: Reference
) -> None:
    check(sqlite, "sqlite", reference)


def test_faults_of_several_processes_over_postgresql_break_no_promise(
    reference: Reference, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with opened(tmp_path_factory.mktemp("chaos"), "postgresql") as lane:
        check(lane, "postgresql", reference)


def check(lane: Lane, database: str, reference: Reference) -> None:
    plans = PLANS[database]
    outcomes = [lane.run(plan, reference, plan is plans[-1]) for plan in plans]
    broken = [described(outcome) for outcome in outcomes if outcome.breaches]
    assert not broken, "\n".join(broken)
