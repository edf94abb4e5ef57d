"""The usual training loop of PyTorch, written by hand."""

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.tuning.task import Fold, Layers, Task, Turns, in_turns

_LOSSES = {
    "regression": torch.nn.MSELoss,
    "binary": torch.nn.BCEWithLogitsLoss,
    "multiclass": torch.nn.CrossEntropyLoss,
}


def prepare(task: Task, turns: Turns) -> Callable[[], Any]:
    """Validate after every epoch, as the others do."""
    if task.threads is not None:
        torch.set_num_threads(task.threads)

    def train(layers: Layers, fold: Fold, seed: int) -> None:
        torch.manual_seed(seed)
        x, x_validation = torch.from_numpy(fold.x_train), torch.from_numpy(fold.x_validation)
        y, y_validation = _targets(fold.y_train, task), _targets(fold.y_validation, task)
        model, loss = _network(layers, fold), _LOSSES[task.kind]()
        optimizer = torch.optim.Adam(model.parameters(), fused=task.variant == "fused")
        for _ in range(task.epochs):
            for chosen in torch.randperm(len(x)).split(task.batch):
                optimizer.zero_grad()
                loss(model(x[chosen]), y[chosen]).backward()
                optimizer.step()
            with torch.no_grad():
                loss(model(x_validation), y_validation).item()

    return in_turns(task, turns, train)


def _targets(y: Any, task: Task) -> torch.Tensor:
    targets = torch.from_numpy(y)
    return targets if task.kind == "multiclass" else targets.float().reshape(-1, 1)


def _network(layers: Layers, fold: Fold) -> torch.nn.Module:
    parts: list[torch.nn.Module] = []
    inputs = fold.x_train.shape[1]
    for units in layers:
        parts += [torch.nn.Linear(inputs, units), torch.nn.ReLU()]
        inputs = units
    return torch.nn.Sequential(*parts, torch.nn.Linear(inputs, fold.classes))
