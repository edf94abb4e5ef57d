"""The Keras optimizer of a trial with its learning-rate schedule."""

from dataclasses import dataclass
from typing import Any

import keras

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

# The exponential schedule ends at this share of the first learning rate.
EXPONENTIAL_END = 0.01
# The plateau schedule multiplies the rate by FACTOR after PATIENCE epochs without a better
# validation loss.
PLATEAU_FACTOR = 0.5
PLATEAU_PATIENCE = 5


@dataclass(frozen=True, slots=True)
class Steps:
    """The length of a training in optimizer steps, one step a batch."""

    total: int  # of the whole training, `done` included
    done: int = 0  # by the parent trial whose weights this one continues


def create_optimizer(values: TrialValues, steps: Steps) -> keras.optimizers.Optimizer:
    """Create the optimizer that `values` name.

    `cosine` falls to 0 over `steps.total` (Loshchilov and Hutter, 2017, without restarts),
    `exponential` to 1% of the first rate; both begin at `steps.done`. `reduce_on_plateau` starts
    as a constant rate, which `plateau_callbacks` lowers. Weight decay is decoupled
    from the gradient (Loshchilov and Hutter, 2019) in every optimizer, so `adamw` differs from
    `adam` in name only.
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


class ContinuedSchedule(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A schedule that begins at its step `done`; for training only, not to be saved."""

    def __init__(
        self, schedule: keras.optimizers.schedules.LearningRateSchedule, done: int
    ) -> None:
        self.schedule = schedule
        self.done = done

    def __call__(self, step: Any) -> Any:
        """Return the learning rate at `step`, counted from `done`."""
        return self.schedule(step + self.done)


def _learning_rate(values: TrialValues, steps: Steps) -> Any:
    rate = float(value(values, "learning_rate"))
    schedules = keras.optimizers.schedules
    match value(values, "lr_schedule"):
        case "cosine":
            schedule = schedules.CosineDecay(rate, decay_steps=steps.total)
        case "exponential":
            schedule = schedules.ExponentialDecay(
                rate, decay_steps=steps.total, decay_rate=EXPONENTIAL_END
            )
        case _:
            return rate
    return ContinuedSchedule(schedule, steps.done) if steps.done else schedule
