"""The Keras optimizer of a trial with its learning-rate schedule."""

import math
from collections.abc import Callable
from typing import Any

import keras

from models.networks.steps import Steps
from models.space.hyperparameters import TrialValues, value

_OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "nadam": keras.optimizers.Nadam,
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "adagrad": keras.optimizers.Adagrad,
    "adamax": keras.optimizers.Adamax,
}
_WITH_MOMENTUM = ("sgd", "rmsprop")
_WITH_BETAS = ("adam", "adamw", "nadam", "adamax")

# The share of the steps for which the rate of the flat cosine schedule stays as it is.
FLAT_SHARE = 0.5
# The exponential schedule ends at this share of the first learning rate.
EXPONENTIAL_END = 0.01
# The plateau schedule multiplies the rate by FACTOR after PATIENCE epochs without a better
# validation loss.
PLATEAU_FACTOR = 0.5
PLATEAU_PATIENCE = 5


def create_optimizer(values: TrialValues, steps: Steps) -> keras.optimizers.Optimizer:
    """Create the optimizer that `values` name.

    `cosine` falls to 0 over `steps.total` (Loshchilov and Hutter, 2017, without restarts);
    `flat_cosine` does so in the second half, after a constant first half (`flat_cos` in Holzmüller,
    Grinsztajn and Steinwart, NeurIPS 2024); `exponential` falls to 1% of the first rate. All begin
    at `steps.done`. During the share `warmup` of `steps.total` the rate is multiplied by a factor
    that rises linearly from 0 to 1. `reduce_on_plateau` starts as a constant rate, which
    `plateau_callbacks` lowers. Weight decay is decoupled from the gradient (Loshchilov and Hutter,
    2019) in every optimizer, so `adamw` differs from `adam` in name only.
    """
    name = str(value(values, "optimizer"))
    decay = float(value(values, "weight_decay"))
    options: dict[str, Any] = {"learning_rate": _learning_rate(values, steps)}
    if decay or name == "adamw":
        options["weight_decay"] = decay
    if name in _WITH_MOMENTUM:
        options["momentum"] = float(value(values, "momentum"))
    if name in _WITH_BETAS:
        options |= {beta: float(value(values, beta)) for beta in ("beta_1", "beta_2")}
    if largest_norm := float(value(values, "global_clipnorm")):
        options["global_clipnorm"] = largest_norm
    return _OPTIMIZERS[name](**options)


def plateau_callbacks(values: TrialValues, monitor: str) -> list[keras.callbacks.Callback]:
    """Return the callbacks of `lr_schedule`: the plateau rule, or none."""
    if value(values, "lr_schedule") != "reduce_on_plateau":
        return []
    return [
        keras.callbacks.ReduceLROnPlateau(
            monitor=monitor,
            factor=PLATEAU_FACTOR,
            patience=PLATEAU_PATIENCE,
            min_delta=0.0,
            mode="min",
        )
    ]


class Course(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """The rates of one training, by step from 0; for training only, not to be saved."""

    def __init__(self, schedule: Callable[[Any], Any], steps: Steps, warmup: float) -> None:
        """`schedule` returns the rate of a step of the whole training, without the warm-up."""
        self._schedule = schedule
        self._done = steps.done
        self._warmup_steps = warmup * steps.total

    def __call__(self, step: Any) -> Any:
        """Return the learning rate at `step`, counted from where this training begins."""
        step = keras.ops.cast(step, "float32") + self._done
        rate = self._schedule(step)
        if not self._warmup_steps:
            return rate
        # Rising from 0 before the first step, so that no step is lost.
        return rate * keras.ops.minimum((step + 1) / self._warmup_steps, 1.0)


def _learning_rate(values: TrialValues, steps: Steps) -> Any:
    rate, warmup = float(value(values, "learning_rate")), float(value(values, "warmup"))
    schedules = keras.optimizers.schedules
    schedule: Callable[[Any], Any]
    match value(values, "lr_schedule"):
        case "cosine":
            schedule = schedules.CosineDecay(rate, decay_steps=steps.total)
        case "flat_cosine":
            schedule = _flat_cosine(rate, steps.total)
        case "exponential":
            schedule = schedules.ExponentialDecay(
                rate, decay_steps=steps.total, decay_rate=EXPONENTIAL_END
            )
        case "constant" if warmup:

            def schedule(step: Any) -> Any:
                return rate

        case _:
            return rate
    is_stock = isinstance(schedule, schedules.LearningRateSchedule)
    return schedule if is_stock and not (warmup or steps.done) else Course(schedule, steps, warmup)


def _flat_cosine(rate: float, total: int) -> Callable[[Any], Any]:
    def at(step: Any) -> Any:
        share = keras.ops.minimum(step / total, 1.0)
        fallen = keras.ops.maximum(share - FLAT_SHARE, 0.0) / (1 - FLAT_SHARE)
        return rate * 0.5 * (1 + keras.ops.cos(math.pi * fallen))

    return at
