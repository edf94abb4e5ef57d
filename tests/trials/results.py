"""What tests read from the results of trials and runs."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.trials.spec import Failure, TrialResult
from models.trials.trainers.base import RunResult


def metrics(result: TrialResult) -> Mapping[str, Any]:
    """Return the metrics, which must be there: numbers by name, None where undefined."""
    assert result.metrics is not None
    return result.metrics


def history(result: TrialResult) -> Mapping[str, list[Any]]:
    """Return the history, which must be there: numbers per epoch, None where not finite."""
    assert result.history is not None
    return result.history


def failure(result: TrialResult) -> Failure:
    """Return the failure, which must be there."""
    assert result.failure is not None
    return result.failure


def assert_same(reference: RunResult, result: RunResult, close: Mapping[str, Any]) -> None:
    """Check that two trainers gave the same result.

    Histories, weights and outputs are as near as `close`, the tolerances of `assert_allclose`; what
    is counted or decided is equal.
    """
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
