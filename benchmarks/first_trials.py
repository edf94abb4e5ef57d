"""Learn the first trials of a search in the default space, and what each of its options brings.

`python -m benchmarks.first_trials FILE` draws configurations of the default space and trains each
on the tables of `benchmarks.quality`, none of which is an examination. Every training is a line of
FILE, and the same command goes on after the last one. With `--choose` nothing is trained: the
script prints the portfolio that is best on all tables, how it does on tables that it was not
learned from, and the mean gain of each option.

The portfolio is chosen greedily, as in Feurer et al. (Auto-sklearn 2.0, JMLR 23, 2022): the next
configuration is the one that makes the best so far, averaged over the tables, best. The error is
the root mean squared error or the log-loss of the validation rows; tables count by the logarithm of
its ratio to their best configuration.
"""

import argparse
import json
import os
import random
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.tables import Table, load, read_tables
from models.data.formats.reading import read_rows
from models.data.library.storage import write_dataset
from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import Task
from models.networks.steps import default_epochs, default_patience
from models.space.defaults import DEFAULT_SPACES
from models.space.drawing import draw_flat
from models.space.schema import load_space
from models.store.artifacts import Artifacts
from models.trials.process import prepare_process
from models.trials.run import run_trial
from models.trials.spec import DataRef, EarlyStopping, Objective, TrialSpec

Array = np.ndarray[Any, Any]

SEED = 0  # of the draws
TRAINING_SHARE = 0.8


def draw(count: int) -> list[dict[str, Any]]:
    """Return the first `count` configurations; more do not change them."""
    space = load_space(None, "mlp")
    generators = (random.Random(f"{SEED}/{number}") for number in range(count))
    return [draw_flat(space, generator) for generator in generators]


def train(table: Table, rows: int, listed: Sequence[tuple[int, dict[str, Any]]]) -> Iterator[str]:
    """Train configurations on a table, each by its number; yield a line of JSON for each."""
    prepare_process(1)
    task = Task(table.task)
    with tempfile.TemporaryDirectory() as folder:
        frame = load(table, rows)
        for name in frame.select_dtypes("datetime"):
            frame[name] = frame[name].dt.strftime("%Y-%m-%d")
        records = frame.astype(object).where(frame.notna(), None).to_dict("records")
        kind = "number" if task is Task.REGRESSION else "category"
        dataset = read_rows({"records": records}, {table.target: kind}).dataset
        write_dataset(dataset, Artifacts(folder), "table")
        ref = DataRef(folder, "table", table.target, task, Evaluation(), seed=0)
        space = load_space(None, "mlp")
        for number, values in listed:
            epochs = default_epochs("mlp", TRAINING_SHARE * len(frame), values["batch_size"])
            result = run_trial(
                TrialSpec(
                    job="first-trials",
                    number=1,
                    network="mlp",
                    values=space.check(values),
                    data=ref,
                    objective=Objective("loss", "min"),
                    epochs=epochs,
                    seed=number,
                    weights="weights",
                    early_stopping=EarlyStopping(default_patience(epochs)),
                )
            )
            line = {"table": table.name, "number": number, "values": values}
            yield json.dumps(line | {"loss": result.score, "seconds": round(result.seconds, 2)})


def errors(lines: Iterable[dict[str, Any]], tables: dict[str, Table]) -> tuple[list[int], Array]:
    """Return the configurations that every table has, and log-ratios (tables, configurations).

    The ratio is that of the error to the best of the table; failed trainings have its worst.
    """
    found: dict[str, dict[int, float]] = {}
    for line in lines:
        loss = float("nan") if line["loss"] is None else line["loss"]
        error = loss if tables[line["table"]].has_classes else loss**0.5
        found.setdefault(line["table"], {})[line["number"]] = error
    numbers = sorted(set.intersection(*(set(by_number) for by_number in found.values())))
    matrix = np.array([[by_number[n] for n in numbers] for by_number in found.values()])
    matrix = np.where(np.isfinite(matrix), matrix, np.nanmax(matrix, axis=1, keepdims=True))
    return numbers, np.log(matrix / matrix.min(axis=1, keepdims=True))


def choose(ratios: Array, count: int) -> list[int]:
    """Return the places of `count` columns, chosen greedily, the best one first."""
    chosen: list[int] = []
    best = np.full(len(ratios), np.inf)
    for _ in range(count):
        means = np.minimum(best[:, None], ratios).mean(axis=0)
        means[chosen] = np.inf
        chosen.append(int(np.argmin(means)))
        best = np.minimum(best, ratios[:, chosen[-1]])
    return chosen


def left_out(ratios: Array, count: int) -> Array:
    """Return the mean log-ratio after 1 to `count` trials on tables that were not learned from."""
    found = []
    for table in range(len(ratios)):
        chosen = choose(np.delete(ratios, table, axis=0), count)
        found.append(np.minimum.accumulate(ratios[table, chosen]))
    return np.mean(found, axis=0)


def at_random(ratios: Array, count: int, repeats: int = 1000) -> Array:
    """Return the same for configurations in random orders."""
    generator = np.random.default_rng(0)
    orders = [generator.permutation(ratios.shape[1])[:count] for _ in range(repeats)]
    return np.mean([np.minimum.accumulate(ratios[:, o], axis=1).mean(axis=0) for o in orders], 0)


def report(lines: list[dict[str, Any]], count: int) -> None:
    """Print the portfolio, its figures, and the options one by one."""
    tables = read_tables()
    numbers, ratios = errors(lines, tables)
    values = {line["number"]: line["values"] for line in lines}
    seconds = {n: np.mean([e["seconds"] for e in lines if e["number"] == n]) for n in numbers}
    print(f"{len(ratios)} tables, {len(numbers)} configurations")
    print("\ntrials  portfolio  left-out tables  at random   (mean error ÷ best)")
    chosen = choose(ratios, count)
    own = np.minimum.accumulate(ratios[:, chosen], axis=1).mean(axis=0)
    rows = zip(own, left_out(ratios, count), at_random(ratios, count), strict=True)
    for number, row in enumerate(np.exp(list(rows)), 1):
        print(f"{number:<8}" + "".join(f"{ratio:<15.3f}" for ratio in row))
    print("\noption                      share  mean error ÷ best   tables where the best has it")
    best = ratios.argmin(axis=1)
    for name, options in _options(values).items():
        for option in options:
            has = np.array([values[number][name] == option for number in numbers])
            mean = np.exp(ratios[:, has].mean())
            print(
                f"{name}={option!s:<12} {has.mean():>14.2f}{mean:>12.3f}{has[best].mean():>20.2f}"
            )
    print("\nThe portfolio:")
    for place in chosen:
        print(json.dumps(values[numbers[place]]), f"# {seconds[numbers[place]]:.1f} s")


def _options(values: dict[int, dict[str, Any]]) -> dict[str, list[Any]]:
    entries = DEFAULT_SPACES["mlp"]
    names = [name for name, entry in entries.items() if "sampling" not in entry]
    return {name: sorted({each[name] for each in values.values()}) for name in names}


def _train_to_lines(*task: Any) -> list[str]:
    return list(train(*task))


def main() -> None:
    """Train what is missing, or choose."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("file", type=Path, help="a line of JSON for each training")
    options.add_argument("--configurations", type=int, default=48)
    options.add_argument("--tables", nargs="+", help="names of tables; all without")
    options.add_argument("--rows", type=int, default=1500, help="of a table, at most")
    options.add_argument("--processes", type=int, default=os.cpu_count())
    options.add_argument("--choose", type=int, metavar="N", help="choose N; train nothing")
    given = options.parse_args()
    known = given.file.read_text().splitlines() if given.file.exists() else []
    lines = [json.loads(line) for line in known]
    if given.choose:
        report(lines, given.choose)
        return
    tables = read_tables()
    have = {(line["table"], line["number"]) for line in lines}
    drawn = list(enumerate(draw(given.configurations)))
    tasks = [
        (tables[name], given.rows, [(number, values)])
        for number, values in drawn
        for name in given.tables or tables
        if (name, number) not in have
    ]
    with ProcessPoolExecutor(given.processes) as pool, given.file.open("a") as file:
        for done in as_completed([pool.submit(_train_to_lines, *task) for task in tasks]):
            print(*done.result(), sep="\n", file=file, flush=True)


if __name__ == "__main__":
    main()
