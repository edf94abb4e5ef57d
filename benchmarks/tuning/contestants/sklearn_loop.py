"""scikit-learn's `MLPRegressor`, and `MLPClassifier` where the target is a class.

It does not validate after each epoch; it predicts the validation rows once, at the end.
"""

import warnings
from collections.abc import Callable
from typing import Any

from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from benchmarks.tuning.task import Fold, Layers, Task, Turns, in_turns


def prepare(task: Task, turns: Turns) -> Callable[[], Any]:
    """Train every epoch, however little the loss changes."""
    # Having trained every epoch is what it warns of.
    warnings.simplefilter("ignore", ConvergenceWarning)
    network = MLPRegressor if task.kind == "regression" else MLPClassifier

    def train(layers: Layers, fold: Fold, seed: int) -> None:
        model = network(
            hidden_layer_sizes=layers,
            batch_size=min(task.batch, len(fold.x_train)),
            max_iter=task.epochs,
            n_iter_no_change=task.epochs + 1,
            tol=0.0,
            random_state=seed,
        )
        model.fit(fold.x_train, fold.y_train)
        model.predict(fold.x_validation)

    return in_turns(task, turns, train)
