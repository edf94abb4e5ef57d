"""How far one machine and one database go; `make bench-scale` runs it.

SQLite and a PostgreSQL server of its own are filled and asked; nothing else needs to run. What is
measured last is the input of a simulation of 1, 10 and 100 nodes.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.scale import claims, clients, lists, overhead, simulation
from benchmarks.scale.overhead import TRIAL_SECONDS, Overhead
from models.store.engine import Database
from models.store.migrate import migrate
from tests.postgres import PostgresServer
from tests.processes import answers, free_bind, running
from tests.waiting import wait_until

PARTS = ("trials", "claims", "lists", "clients")
DATABASES = ("SQLite", "PostgreSQL")
EXECUTORS = ("local", "ray")
NODES = (1, 10, 100)
_SLOTS_OF_A_NODE = 4
_OF_SIMULATED_TRIALS = (TRIAL_SECONDS, 2.0, 60.0)  # seconds

console = Console(width=110)


def main() -> None:
    """Measure the parts that are wanted, print their tables, and simulate."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    options.add_argument("--executors", nargs="*", choices=EXECUTORS, default=EXECUTORS)
    options.add_argument("--slots", nargs="*", type=int, default=[1, 2, 4])
    options.add_argument("--trials-a-slot", type=int, default=60)
    options.add_argument("--claims", type=int, default=10_000)
    options.add_argument("--workers", type=int, default=8)
    options.add_argument("--jobs", type=int, default=10_000)
    options.add_argument("--trials", type=int, default=1_000_000)
    options.add_argument("--databases", nargs="*", choices=DATABASES, default=DATABASES)
    options.add_argument("--kept", type=int, default=200, help="connections that stay open")
    options.add_argument("--slow", type=int, default=50, help="clients that never end a request")
    options.add_argument("--seconds", type=float, default=15.0, help="of each load of clients")
    chosen = options.parse_args()
    console.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the beginning")
    measured: list[Overhead] = []
    taken: list[claims.Claims] = []
    if "trials" in chosen.only:
        for executor in chosen.executors:
            measured += show_trials(executor, chosen.slots, chosen.trials_a_slot)
    if "claims" in chosen.only:
        with postgresql() as server:
            taken = show_claims(server.url("postgres"), chosen.workers, chosen.claims)
    if "lists" in chosen.only:
        show_lists(chosen.databases, chosen.jobs, chosen.trials)
    if "clients" in chosen.only:
        show_clients(chosen.kept, chosen.slow, chosen.seconds)
    if measured and taken:
        # A claim and its end are two transactions, like the two of a trial.
        show_simulation(simulation.Costs(measured[0].overhead, 1 / taken[-1].per_second))
    console.print(f"load {os.getloadavg()[0]:.1f} at the end; {' '.join(sys.argv[1:])}")


def show_trials(executor: str, slots: list[int], trials_a_slot: int) -> list[Overhead]:
    """Print the overhead on so many slots."""
    table = Table(title=f"Trials of {TRIAL_SECONDS} s that sleep, executor {executor}")
    for heading in ("slots", "trials", "overhead", "of a trial", "trials/s", "to one slot"):
        table.add_column(heading, justify="right")
    found: list[Overhead] = []
    for number in slots:
        found.append(overhead.measure(executor, number, trials_a_slot))
        last = found[-1]
        table.add_row(
            str(last.slots),
            str(last.trials),
            f"{1000 * last.overhead:.1f} ms",
            f"{last.share:.1%}",
            f"{last.per_second:.2f}",
            f"{last.per_second / found[0].per_second:.2f}×",
        )
    console.print(table)
    return found


def show_claims(url: str, workers: int, count: int) -> list[claims.Claims]:
    """Print how many jobs a second one worker and all of them claim and end."""
    migrated(url)
    table = Table(title=f"{count:,} jobs claimed and ended (a tenth by one worker), PostgreSQL")
    for heading in ("workers", "jobs/s", "to one worker", "doubles", "missed"):
        table.add_column(heading, justify="right")
    found = [claims.measure(url, 1, count // 10), claims.measure(url, workers, count)]
    for each in found:
        ratio = f"{each.per_second / found[0].per_second:.2f}×"
        per_second = f"{each.per_second:.0f}"
        table.add_row(str(each.workers), per_second, ratio, str(each.doubles), str(each.missed))
    console.print(table)
    assert not any(each.doubles or each.missed for each in found)
    return found


def show_lists(databases: list[str], jobs: int, trials: int) -> None:
    """Print what pages of long lists cost over HTTP, on either database."""
    with tempfile.TemporaryDirectory() as folder, postgresql() as server:
        urls = {"SQLite": f"sqlite:///{folder}/luthier.db", "PostgreSQL": server.url("postgres")}
        for name in databases:
            url = urls[name]
            lists.fill(url, jobs, trials)
            table = Table(title=f"{jobs:,} jobs and {trials:,} trials, {name}")
            for heading in ("call", "median", "worst", "processor", "to /healthz"):
                table.add_column(heading, justify="right" if heading != "call" else "left")
            with api(url) as (_, address, pid):
                processes = [psutil.Process(pid), psutil.Process(server.pid)]
                for each in lists.measure(address, processes):
                    times = (f"{ms:.1f} ms" for ms in (each.median, each.worst, each.processor))
                    table.add_row(each.call, *times, f"{each.ratio:.1f}×")
            console.print(table)


def show_clients(kept: int, slow: int, seconds: float) -> None:
    """Print what clients in a hurry see alone, and beside kept and slow connections."""
    table = Table(title="8 clients that list jobs without a pause, beside others")
    for heading in ("beside", "calls/s", "median", "p99", "p99 to alone", "failures"):
        table.add_column(heading, justify="right" if heading != "beside" else "left")
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/luthier.db"
        migrated(url)
        with api(url) as (bind, _, _):
            host, _, port = bind.rpartition(":")
            alone: clients.Crowd | None = None
            for name, crowd in (
                ("nobody", (0, 0)),
                (f"{kept} kept, one call a second each", (kept, 0)),
                (f"{slow} slow", (0, slow)),
                ("both", (kept, slow)),
            ):
                seen = clients.measure(host, int(port), *crowd, 8, seconds)
                alone = alone or seen
                table.add_row(
                    name,
                    f"{(len(seen.times) + seen.kept) / seconds:.0f}",
                    f"{1000 * seen.median:.1f} ms",
                    f"{1000 * seen.p99:.1f} ms",
                    f"{seen.p99 / alone.p99:.2f}×",
                    str(seen.failures),
                )
    console.print(table)


def show_simulation(costs: simulation.Costs) -> None:
    """Print what nodes of four slots do, with a job each and with one job for all."""
    table = Table(
        title=f"Simulated nodes of {_SLOTS_OF_A_NODE} slots: {1000 * costs.turn:.1f} ms of a worker"
        f" and {1000 * costs.transaction:.2f} ms of the database a trial"
    )
    headings = ("trial", "jobs", "nodes", "trials/s", "of the ideal", "worker", "database")
    for heading in (*headings, "limited by"):
        table.add_column(heading, justify="right")
    for trial in _OF_SIMULATED_TRIALS:
        for one_job in (False, True):
            for nodes in NODES:
                found = simulation.simulate(nodes, _SLOTS_OF_A_NODE, trial, costs, one_job=one_job)
                table.add_row(
                    f"{trial:g} s",
                    "one" if one_job else "one a node",
                    str(nodes),
                    f"{found.per_second:.1f}",
                    f"{found.efficiency:.0%}",
                    f"{found.workers:.0%}",
                    f"{found.database:.0%}",
                    found.saturated,
                )
    console.print(table)


def migrated(url: str) -> None:
    """Bring a database to the newest schema."""
    database = Database(url)
    migrate(database)
    database.close()


@contextmanager
def postgresql() -> Iterator[PostgresServer]:
    """A server for the time of the block."""
    server = PostgresServer()
    try:
        yield server
    finally:
        server.remove()


@contextmanager
def api(database_url: str) -> Iterator[tuple[str, str, int]]:
    """A real API over a database: its address without and with the scheme, and its process."""
    bind = free_bind()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "api.log"
        own = {"bind": bind, "data": folder, "database_url": database_url}
        with running("api", log, log_level="WARNING", **own) as process:
            url = f"http://{bind}"
            wait_until(lambda: process.poll() is not None or answers(f"{url}/readyz"))
            if process.poll() is not None:
                raise RuntimeError(log.read_text())
            yield bind, url, process.pid


if __name__ == "__main__":
    main()
