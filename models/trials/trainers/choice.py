"""The choice of a trainer: NumPy for perceptrons with small steps, Keras for the rest."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from models.networks.inputs import Inputs
from models.networks.size import size_of
from models.space.hyperparameters import TrialValues, Value, value
from models.trials.trainers.base import Trainer, TrainingData
from models.trials.trainers.keras import KerasTrainer
from models.trials.trainers.numpy.activations import ACTIVATIONS
from models.trials.trainers.numpy.losses import LOSSES
from models.trials.trainers.numpy.optimizers import OPTIMIZERS, SCHEDULES
from models.trials.trainers.numpy.trainer import NumpyTrainer

# The hyperparameters that the NumPy trainer knows, and the values of those that it knows in part.
_KNOWN: Mapping[str, frozenset[Value] | None] = {
    "numeric_encoding": None,
    "bins": None,
    "frequencies": None,
    "frequency_scale": None,
    "numeric_embedding_size": None,
    "category_encoding": None,
    "category_embedding_size": None,
    "missing_indicators": None,
    "num_layers": None,
    "units": None,
    "activation": frozenset(ACTIVATIONS),
    "dropout": None,
    "batch_normalization": None,
    "members": None,
    "scaling_layer": None,
    "kernel_initializer": None,
    "l1": None,
    "l2": None,
    "loss": frozenset(LOSSES),
    "huber_delta": None,
    "quantile": None,
    "label_smoothing": None,
    "optimizer": frozenset(OPTIMIZERS),
    "learning_rate": None,
    "momentum": None,
    "beta_1": None,
    "beta_2": None,
    "global_clipnorm": None,
    "weight_decay": None,
    "lr_schedule": frozenset(SCHEDULES),
    "warmup": None,
    "batch_size": None,
}


@dataclass(frozen=True, slots=True)
class TrainerChoice:
    """The rule by which a process chooses a trainer.

    Keras trains what NumPy cannot. NumPy trains the rest, unless there is a GPU and a training step
    has `gpu_threshold` multiply-adds or more: a small step is faster on a CPU core than its launch
    on a GPU. `models.settings` gives the reasons for the default of `LUTHIER_GPU_THRESHOLD`.
    """

    preference: str  # `auto`, or `numpy` or `keras`, which override the threshold
    has_gpu: bool
    gpu_threshold: int

    def name(
        self,
        network: str,
        values: TrialValues,
        rows: int,
        inputs: Inputs,
        output_units: int,
    ) -> Literal["numpy", "keras"]:
        """Return the name of the trainer for a network that learns from so many rows."""
        if self.preference == "keras" or not _can_use_numpy(network, values):
            return "keras"
        if self.preference == "numpy" or not self.has_gpu:
            return "numpy"
        size = size_of(network, values, inputs, output_units)
        batch = min(int(value(values, "batch_size")), rows)
        is_small = size.training_multiply_adds(batch) < self.gpu_threshold
        return "numpy" if is_small else "keras"


_choice = TrainerChoice("auto", has_gpu=False, gpu_threshold=0)  # of this process


def set_choice(choice: TrainerChoice) -> None:
    """Set the rule that `choose_trainer` follows in this process."""
    global _choice
    _choice = choice


def choose_trainer(network: str, values: TrialValues, data: TrainingData) -> Trainer:
    """Return the trainer for a network of these `values` on `data`."""
    name = _choice.name(network, values, len(data.x_train), data.inputs, data.outputs.units)
    return NumpyTrainer() if name == "numpy" else KerasTrainer()


def _can_use_numpy(network: str, values: TrialValues) -> bool:
    return network == "mlp" and all(_is_known(name, given) for name, given in values.items())


def _is_known(name: str, given: Value | list[Value]) -> bool:
    if name not in _KNOWN:
        return False
    known = _KNOWN[name]
    return known is None or known.issuperset(given if isinstance(given, list) else [given])
