"""Whether two trainers came to the same."""

import numpy as np

from models.trials.trainers.base import RunResult


def assert_same(reference: RunResult, result: RunResult, **close: float) -> None:
    """Histories, weights and outputs are `close`; what is counted or decided is equal."""
    assert list(result.history) == list(reference.history)
    for name, figures in reference.history.items():
        np.testing.assert_allclose(result.history[name], figures, **close)
    for kept, wanted in zip(result.weights, reference.weights, strict=True):
        assert kept.dtype == wanted.dtype
        np.testing.assert_allclose(kept, wanted, **close)
    np.testing.assert_allclose(result.validation_outputs, reference.validation_outputs, **close)
    np.testing.assert_allclose(result.training_outputs, reference.training_outputs, **close)
    for figure in ("best_epoch", "epochs", "parameters", "diverged", "stopped"):
        assert getattr(result, figure) == getattr(reference, figure)
