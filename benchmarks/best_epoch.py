"""What the monitored metric does for a rare class: recall of networks trained with class weights.

`python -m benchmarks.best_epoch` trains perceptrons on 1,200 drawn rows, 6% of them of the rare
class, with `class_weight: balanced`. It prints recall and balanced accuracy of the rare class on
the validation rows after up to 3 and up to 40 epochs, the mean of `--seeds` trainings. The baseline
keeps the epoch with the least validation loss without weights.
"""

import argparse
import sys
import tempfile

import numpy as np
from rich.console import Console
from rich.table import Table

from models.data.columns import ColumnType, measure
from models.data.dataset import Dataset
from models.data.library.storage import write_dataset
from models.data.preparation.splitting import Evaluation
from models.data.preparation.tasks import Task
from models.store.artifacts import Artifacts
from models.trials.data import prepare
from models.trials.metrics import class_metrics, class_probabilities
from models.trials.monitor import VALIDATION_LOSS, Monitor, monitored_metric
from models.trials.spec import METRICS, DataRef, EarlyStopping, Objective
from models.trials.trainers.base import Run, TrainingData
from models.trials.trainers.numpy.trainer import NumpyTrainer

ROWS, SHARE = 1200, 0.06
VALUES = {"num_layers": 2, "units": 64, "learning_rate": 0.001, "batch_size": 32}
OBJECTIVES = ("loss", "balanced_accuracy", "recall", "f1", "auc")


def drawn(root: str) -> TrainingData:
    """Draw and store the rows; return them ready for training."""
    generator = np.random.default_rng(0)
    rare = generator.random(ROWS) < SHARE
    x = generator.normal(size=(ROWS, 8))
    x[rare, :3] += 0.9
    values = {f"x{place}": x[:, place] for place in range(8)} | {"y": rare.astype(float)}
    columns = tuple(measure(name, ColumnType.NUMBER, cells) for name, cells in values.items())
    dataset = Dataset(columns, values)
    write_dataset(dataset, Artifacts(root), dataset.digest())
    evaluation = Evaluation(validation_fraction=0.3, test_fraction=0.1)
    ref = DataRef(root, dataset.digest(), "y", Task.BINARY, evaluation, 7, class_weight="balanced")
    return prepare(ref).folds[0].training


def scores(data: TrainingData, monitor: Monitor, epochs: int, seeds: int) -> tuple[float, float]:
    """Return recall and balanced accuracy of the kept epoch, means over the seeds."""
    found = []
    for seed in range(seeds):
        rule = EarlyStopping(10)
        run = Run(0, 0, seed, "mlp", VALUES, epochs, early_stopping=rule, monitor=monitor)
        (result,) = NumpyTrainer().train([run], [data])
        probabilities = class_probabilities(result.validation_outputs)
        metrics = class_metrics(data.y_validation, probabilities, Task.BINARY, positive=1)
        found.append([metrics["recall"] or 0.0, metrics["balanced_accuracy"] or 0.0])
    recall, balanced = np.mean(found, axis=0)
    return float(recall), float(balanced)


def main() -> None:
    """Train and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=3)
    seeds = options.parse_args().seeds
    monitors = {"validation loss without weights": VALIDATION_LOSS}
    for metric in OBJECTIVES:
        objective = Objective(metric, METRICS[Task.BINARY][metric])
        monitors[metric] = monitored_metric(Task.BINARY, objective, None, "balanced")
    table = Table("monitored", "recall, 3 epochs", "recall, 40", "balanced accuracy, 40")
    with tempfile.TemporaryDirectory() as folder:
        data = drawn(folder)
        for name, monitor in monitors.items():
            short, _ = scores(data, monitor, 3, seeds)
            recall, balanced = scores(data, monitor, 40, seeds)
            table.add_row(name, f"{short:.3f}", f"{recall:.3f}", f"{balanced:.3f}")
    Console(file=sys.stdout, width=100).print(table)


if __name__ == "__main__":
    main()
