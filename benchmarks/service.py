"""What the service adds to the trials of a job.

`python -m benchmarks.service` runs whole jobs through a worker over a database of its own. Of each
it prints the milliseconds that a trial takes from start to end of the search, those of the
processor that the worker itself spends on it (trials run in processes of their own), those of
training, and how much of the slots' time that is. `--only NAME` runs one job, `--trials N` changes
its length.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import Task
from models.executors.local import LocalExecutor
from models.jobs.commands import JobCommands
from models.jobs.model import Job, JobState
from models.jobs.reader import JobReader
from models.jobs.spec import Budget, JobSpec
from models.jobs.worker.health import WorkerHealth
from models.jobs.worker.worker import Worker
from models.oracles.plan import plan
from models.oracles.strategy import Bayesian, Manual, Random
from models.settings import Settings
from models.space.schema import load_space
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.migrate import migrate
from models.trials.objective import Objective
from models.trials.process import prepare_process, warm_up

WIDE = {
    "num_layers": {"type": "int", "min": 2, "max": 5},
    "units": {"type": "int", "min": 64, "max": 512, "step": 32},
    "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-2, "sampling": "log"},
}
NARROW = {
    "num_layers": {"type": "int", "min": 1, "max": 3},
    "units": {"type": "int", "min": 8, "max": 64, "step": 8},
    "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-1, "sampling": "log"},
    "dropout": {"type": "float", "min": 0.0, "max": 0.5},
    "batch_size": {"type": "choice", "values": [16, 32, 64]},
    "activation": {"type": "choice", "values": ["relu", "selu", "tanh"]},
}
TINY = {"num_layers": 1, "units": 8, "batch_size": 64}


def jobs(trials: int | None) -> Mapping[str, Mapping[str, Any]]:
    """The parts of a JobSpec in which each job differs."""
    rates = tuple({**TINY, "learning_rate": 1e-4 * (1 + i)} for i in range(trials or 128))
    iris = {"dataset": "builtin:iris", "task": Task.MULTICLASS}
    return {
        "tiny": {**iris, "strategy": Manual(rates), "space": TINY, "epochs": 10},
        "random": {"strategy": Random(), "space": WIDE, "epochs": 20, "trials": trials or 64},
        "bayesian": {"strategy": Bayesian(), "space": NARROW, "epochs": 30, "trials": trials or 48},
    }


def job_spec(
    strategy: Any, space: dict[str, Any], epochs: int, trials: int | None = None, **parts: Any
) -> JobSpec:
    """A whole job of these parts."""
    whole: dict[str, Any] = {
        "model": "benchmark",
        "dataset": "builtin:diabetes",
        "target": "target",
        "features": None,
        "task": Task.REGRESSION,
        "network": "mlp",
        "space": load_space(space, "mlp"),
        "strategy": strategy,
        "objective": Objective("loss", "min"),
        "budget": Budget(epochs=epochs, max_trials=trials),
        "evaluation": Evaluation(),
        "executions": 1,
        "early_stopping": None,
        "parallelism": None,
        "seed": 1,
        "refit": False,
        "reuse": False,
    }
    return JobSpec(**(whole | parts))


def measure(requests: JobCommands, queries: JobReader, spec: JobSpec, slots: int) -> list[str]:
    """Run one job; the cells of its row."""
    planned = plan(spec.strategy, spec.space, spec.budget.max_trials, spec.budget.epochs).trials
    job = requests.create(spec, planned)
    while not queries.trials(job, limit=1):
        time.sleep(0.01)
    worked, started = time.process_time(), time.perf_counter()
    job = _until(queries, job)
    wall, worked = time.perf_counter() - started, time.process_time() - worked
    found = queries.trials(job, limit=100_000)
    training = sum(trial.seconds or 0.0 for trial in found)
    best = queries.best_trial(job)
    count = len(found)
    return [
        str(count),
        f"{1000 * job.seconds / count:.1f}",
        f"{1000 * worked / count:.1f}",
        f"{1000 * training / count:.1f}",
        f"{100 * training / (slots * job.seconds):.0f} %",
        f"{wall:.1f}",
        "" if best is None or best.score is None else f"{best.score:.4g}",
    ]


def _until(queries: JobReader, job: Job) -> Job:
    while not (job := queries.get(job.id)).state.is_final:
        time.sleep(0.2)
    assert job.state == JobState.SUCCEEDED, job
    return job


def _prepare() -> None:
    prepare_process(1)
    warm_up()


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", choices=jobs(None))
    options.add_argument("--trials", type=int)
    options.add_argument("--slots", type=int, default=2)
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    wanted = {k: v for k, v in jobs(chosen.trials).items() if chosen.only in (None, k)}
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data=folder, trial_slots=chosen.slots)
        database = Database(settings.resolved_database_url)
        migrate(database)
        requests = JobCommands(database, Artifacts(settings.resolved_artifacts))
        executor = LocalExecutor(chosen.slots, settings.trial_memory, partial(_prepare))
        stop = threading.Event()
        worker = threading.Thread(
            target=Worker(
                database, executor, settings, WorkerHealth(settings.resolved_trial_slots)
            ).work,
            args=(stop,),
            daemon=True,
        )
        worker.start()
        queries = JobReader(database)
        table = Table(title=f"{chosen.slots} slots; milliseconds a trial")
        for heading in ("job", "trials", "search", "worker", "training", "slots busy", "s", "best"):
            table.add_column(heading, justify="left" if heading == "job" else "right")
        # Once without counting: the processes start and load the data.
        for name, parts in wanted.items():
            few = {**parts, "strategy": Random(), "trials": 4}
            measure(requests, queries, job_spec(**few), chosen.slots)
            cells = measure(requests, queries, job_spec(seed=chosen.seed, **parts), chosen.slots)
            table.add_row(name, *cells)
        stop.set()
        worker.join()
        executor.close()
        database.close()
    Console(width=100).print(table)


if __name__ == "__main__":
    sys.exit(main())
