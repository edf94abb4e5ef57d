"""Which trainer trains a trial: NumPy's where it can, packs on a GPU, Keras's otherwise."""

import tensorflow as tf

from models.space.hyperparameters import TrialValues, Value
from models.trials.packs.trainer import PackTrainer
from models.trials.trainers.base import Trainer
from models.trials.trainers.keras import KerasTrainer
from models.trials.trainers.numpy.activations import ACTIVATIONS
from models.trials.trainers.numpy.rates import SCHEDULES
from models.trials.trainers.numpy.trainer import NumpyTrainer
from models.trials.trainers.numpy.updates import OPTIMIZERS

# What NumPy trains, and packs do. A name without a set has no values that it does not know.
_CLAIMED: dict[str, frozenset[Value] | None] = {
    "num_layers": None,
    "units": None,
    "activation": frozenset(ACTIVATIONS),
    "dropout": None,
    "batch_normalization": None,
    "kernel_initializer": None,
    "l2": None,
    "optimizer": frozenset(OPTIMIZERS),
    "learning_rate": None,
    "momentum": None,
    "weight_decay": None,
    "lr_schedule": frozenset(SCHEDULES),
    "batch_size": None,
}


# What this process trains with where it may choose: `auto`, or the name of a trainer.
_preferred = "auto"


def prefer(trainer: str) -> None:
    """Let this process train with `numpy`, `pack` or `keras`; `auto` decides by its devices."""
    global _preferred
    _preferred = trainer


def choose_trainer(network: str, values: TrialValues) -> Trainer:
    """The fastest trainer that gives the answers of the reference trainer for these `values`.

    With a GPU in reach that is the trainer of packs: NumPy would leave it idle.
    """
    wanted = _preferred
    if wanted == "auto":
        wanted = "pack" if tf.config.list_physical_devices("GPU") else "numpy"
    if wanted == "keras" or not _claims(network, values):
        return KerasTrainer()
    return PackTrainer() if wanted == "pack" else NumpyTrainer()


def _claims(network: str, values: TrialValues) -> bool:
    return network == "mlp" and all(_knows(name, given) for name, given in values.items())


def _knows(name: str, given: Value | list[Value]) -> bool:
    if name not in _CLAIMED:
        return False
    known = _CLAIMED[name]
    return known is None or known.issuperset(given if isinstance(given, list) else [given])
