"""Trials a second of packs of 1, 2, 4, … networks, against one by one and against Keras's `fit`.

`python -m benchmarks.packs` trains on the first GPU that TensorFlow sees, or else on the processor,
and prints a table; `--json FILE` records it, with the device and the versions. Rows, epochs and
batches are those of `benchmarks.tuning` (diabetes, 20 epochs of batches of 32); every pack holds
different networks. A pack is trained once before its time is taken, so that its program is traced,
and what the tracing took stands beside it. Sizes that would take longer than `--limit` seconds, by
the size before, are left out. On a processor that others use, `--threads 1 --clock cpu` counts the
seconds that it worked instead.
"""

import argparse
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

from models.trials.process import prepare_process, warm_up

if TYPE_CHECKING:
    from models.trials.trainers.base import Run, Trainer, TrainingData

EPOCHS, BATCH = 20, 32
# By name: layers, and the least and most units of each.
NETWORKS = {"small": (2, 16, 64), "large": (3, 256, 512)}
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
ONE_BY_ONE = {"NumPy trainer": 8, "Keras fit": 3}  # trials that are enough to tell


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    networks: str
    trained_by: str
    at_once: int
    seconds: float  # a trial, the median round
    first_seconds: float | None = None  # of the first training, tracing included


def draw_runs(kind: str, count: int) -> "list[Run]":
    """Networks of one structure and other widths, rates and seeds."""
    from models.trials.trainers.base import Run

    layers, least, most = NETWORKS[kind]
    draw = random.Random(0)
    return [
        Run(
            fold=0,
            execution=seed,
            seed=seed,
            network="mlp",
            values={
                "num_layers": layers,
                "units": [draw.randint(least, most) for _ in range(layers)],
                "learning_rate": 10 ** draw.uniform(-4, -2),
                "batch_size": BATCH,
            },
            epochs=EPOCHS,
        )
        for seed in range(count)
    ]


def diabetes() -> "TrainingData":
    """The 442 rows, scaled, a fifth of them to validate on."""
    from sklearn.datasets import load_diabetes
    from sklearn.preprocessing import scale

    from models.data.preparation.tasks import Task
    from models.networks.outputs import Outputs
    from models.trials.trainers.base import TrainingData

    x, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = scale(x)[order].astype(np.float32), scale(y)[order].astype(np.float32)
    cut = len(x) * 4 // 5
    return TrainingData(x[:cut], y[:cut], x[cut:], y[cut:], Outputs.of(Task.REGRESSION))


def train_pack(runs: "Sequence[Run]", data: "TrainingData") -> None:
    """Train all of them at once, whatever the sorting into packs would say."""
    from models.trials.packs.pack import Pack
    from models.trials.packs.work import Work

    works = [Work([run], [data]) for run in runs]
    Pack([work.members[0] for work in works]).train()
    for work in works:
        work.results()


def train_one_by_one(trainer: "Trainer", runs: "Sequence[Run]", data: "TrainingData") -> None:
    """Train each alone."""
    for run in runs:
        trainer.train([run], [data])


def measure(
    kind: str, sizes: Sequence[int], rounds: int, limit: float, clock: str
) -> Iterator[Row]:
    """The rows of one kind of network, as they come."""
    from models.trials.trainers.keras import KerasTrainer
    from models.trials.trainers.numpy.trainer import NumpyTrainer

    data = diabetes()
    for trainer in (KerasTrainer(), NumpyTrainer()):
        name = "Keras fit" if trainer.name == "keras" else "NumPy trainer"
        runs = draw_runs(kind, ONE_BY_ONE[name])

        def alone(trainer: "Trainer" = trainer, runs: "list[Run]" = runs) -> None:
            train_one_by_one(trainer, runs, data)

        yield Row(kind, name, 1, median_of(alone, rounds, clock) / len(runs))
    expected = 0.0
    for size in sizes:
        if 2 * expected * (rounds + 1) > limit:
            return
        runs = draw_runs(kind, size)
        first = seconds_of(lambda runs=runs: train_pack(runs, data), clock)
        expected = median_of(lambda runs=runs: train_pack(runs, data), rounds, clock)
        yield Row(kind, "pack", size, expected / size, first)


def seconds_of(action: Callable[[], None], clock: str) -> float:
    """Seconds that it takes."""
    started = CLOCKS[clock]()
    action()
    return CLOCKS[clock]() - started


def median_of(action: Callable[[], None], rounds: int, clock: str) -> float:
    """Seconds of the median round."""
    return statistics.median(seconds_of(action, clock) for _ in range(rounds))


def device() -> str:
    """What trains: the name of the GPU, or the processor and its cores."""
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        return str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name))
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{os.cpu_count()} cores of {names[0] if names else platform.processor()}"


def versions() -> dict[str, str]:
    """Of what the figures follow from."""
    import keras
    import tensorflow as tf

    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }


def show(rows: Sequence[Row], title: str) -> None:
    """Print the table."""
    table = Table(title=title)
    for heading in ("networks", "trained by", "at once", "trials/s", "× Keras", "× NumPy", "first"):
        is_text = heading in ("networks", "trained by")
        table.add_column(heading, justify="left" if is_text else "right")
    for row in rows:
        alone = {each.trained_by: each.seconds for each in rows if each.networks == row.networks}
        table.add_row(
            row.networks,
            row.trained_by,
            str(row.at_once),
            f"{1 / row.seconds:.2f}",
            f"{alone['Keras fit'] / row.seconds:.2f}",
            f"{alone['NumPy trainer'] / row.seconds:.2f}",
            "" if row.first_seconds is None else f"{row.first_seconds:.1f} s",
        )
    Console(width=100).print(table)


def main() -> None:
    """Measure, print and record."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", type=Path, help="file to record the table in")
    options.add_argument("--most", type=int, default=256, help="networks in the largest pack")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--limit", type=float, default=600, help="seconds for one size")
    options.add_argument("--clock", choices=CLOCKS, default="wall")
    options.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    chosen = options.parse_args()
    prepare_process(chosen.threads)
    warm_up()
    sizes = [2**power for power in range(chosen.most.bit_length()) if 2**power <= chosen.most]
    measured = (chosen.rounds, chosen.limit, chosen.clock)
    rows = [row for kind in NETWORKS for row in measure(kind, sizes, *measured)]
    title = f"{EPOCHS} epochs of diabetes in batches of {BATCH}, {device()}"
    show(rows, title)
    if chosen.json:
        record = {
            "title": title,
            "device": device(),
            "threads": chosen.threads,
            "rounds": chosen.rounds,
            "clock": chosen.clock,
            "versions": versions(),
            "rows": [asdict(row) for row in rows],
        }
        chosen.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
