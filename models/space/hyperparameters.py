"""The hyperparameters of each network: kinds, legal values and defaults.

A new network family needs a name in `NETWORKS`, a row for each hyperparameter that only it has, an
entry in `_VARIANTS` for each that differs from its row, and a space in `models.space.defaults`.
"""

import difflib
import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

from marshmallow import ValidationError

Value = bool | int | float | str
"""One value of one hyperparameter."""

TrialValues = Mapping[str, Value | list[Value]]
"""The values of a trial; a list holds one value for each layer, first layer first."""

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
R = TypeVar("R")

NETWORKS = ("mlp", "cnn")
IMAGE_NETWORKS = ("cnn",)  # these learn from an image only

ACTIVATIONS = (
    "relu",
    "selu",
    "elu",
    "gelu",
    "silu",
    "mish",
    "tanh",
    "sigmoid",
    "softplus",
    "leaky_relu",
    "linear",
)
OPTIMIZERS = ("adam", "adamw", "nadam", "sgd", "rmsprop", "adagrad", "adamax")
INITIALIZERS = (
    "glorot_uniform",
    "glorot_normal",
    "he_uniform",
    "he_normal",
    "lecun_uniform",
    "lecun_normal",
    "random_normal",
    "random_uniform",
    "truncated_normal",
    "orthogonal",
)
SCHEDULES = ("constant", "cosine", "flat_cosine", "exponential", "reduce_on_plateau")
NUMERIC_ENCODINGS = ("standard", "robust", "quantile", "piecewise", "periodic")
CATEGORY_ENCODINGS = ("one_hot", "embedding", "target")
LOSSES = ("mse", "mae", "huber", "quantile", "poisson")
MAX_LAYERS = 20
MAX_MEMBERS = 64
MAX_BLOCKS = 10  # halving so often leaves one pixel of 1024


class Kind(StrEnum):
    """The kind of a hyperparameter's values."""

    INT = "int"
    FLOAT = "float"
    CHOICE = "choice"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True)
class Condition:
    """True if `parent` is in effect and has one of `values`."""

    parent: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Hyperparameter:
    """One row of the table."""

    name: str
    kind: Kind
    default: Value
    minimum: float = -math.inf  # of numbers, legal itself unless open_below
    maximum: float = math.inf  # of numbers, legal itself unless open_above
    open_below: bool = False
    open_above: bool = False
    choices: tuple[str, ...] = ()  # of kind choice
    when: tuple[Condition, ...] = ()  # without these it has no effect, whatever the space says
    layers: str | None = None  # the hyperparameter that counts its layers, if per_layer is allowed
    networks: tuple[str, ...] = NETWORKS  # the families that have it
    tasks: tuple[str, ...] = ()  # the tasks that have it; empty: all
    of_columns: frozenset[str] = frozenset()  # types of those that it encodes; empty: none
    # Left out of a trial's values, where it has its default, unless the space or the trial names
    # it. So trials have the values, seeds and digests that they had before it was in the table.
    optional: bool = False

    def has_effect_on(self, types: Set[str]) -> bool:
        """Whether it has an effect where the features are columns of these types."""
        return not self.of_columns or not self.of_columns.isdisjoint(types)

    def parse(self, value: object) -> Value:
        """Return `value` in the type of this hyperparameter; whole numbers of a float become float.

        Raises ValueError, with a text for the caller, for an illegal value.
        """
        if self.kind is Kind.BOOLEAN:
            if not isinstance(value, bool):
                raise ValueError("Must be true or false.")
            return value
        if self.kind is Kind.CHOICE:
            if not isinstance(value, str) or value not in self.choices:
                raise ValueError(unknown(self.name, value, self.choices))
            return value
        return self._parse_number(value)

    def _parse_number(self, value: object) -> int | float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            kind = "a whole number" if self.kind is Kind.INT else "a number"
            raise ValueError(f"Must be {kind}.")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("Must be a finite number.")
        if self.kind is Kind.INT and not isinstance(value, int):
            raise ValueError("Must be a whole number.")
        below = value <= self.minimum if self.open_below else value < self.minimum
        above = value >= self.maximum if self.open_above else value > self.maximum
        if below or above:
            raise ValueError(f"Must be {self.legal()}.")
        return value if self.kind is Kind.INT else float(value)

    def legal(self) -> str:
        """Return the legal range of a number in words."""
        low = f"{'above' if self.open_below else 'at least'} {self.minimum:g}"
        high = f"{'below' if self.open_above else 'at most'} {self.maximum:g}"
        return f"{low} and {high}"


def parsed(row: Hyperparameter, value: object) -> Value:
    """Return a legal value of `row` or raise marshmallow's ValidationError."""
    try:
        return row.parse(value)
    except ValueError as error:
        raise ValidationError(str(error)) from error


def parsed_list(row: Hyperparameter, values: Sequence[object]) -> list[Value]:
    """Return legal values of `row` or raise ValidationError with the messages by index."""
    return list(gather(enumerate(values), lambda _, given: parsed(row, given)).values())


def gather(items: Iterable[tuple[K, T]], convert: Callable[[K, T], R]) -> dict[K, R]:
    """Convert every item; raise ValidationError with the messages of all failures by key."""
    found: dict[K, R] = {}
    errors: dict[K, object] = {}
    for key, item in items:
        try:
            found[key] = convert(key, item)
        except ValidationError as error:
            errors[key] = error.messages
    if errors:
        raise ValidationError(errors)
    return found


def unknown(what: str, given: object, known: Iterable[str]) -> str:
    """Return the message that `given` is not one of `known`, with close matches."""
    known = list(known)
    close = difflib.get_close_matches(str(given), known, n=3, cutoff=0.6)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    return f"Unknown {what} {given!r}.{hint} Known: {', '.join(known)}."


def unknown_hyperparameter(name: str, network: str) -> str:
    """Return the message that `network` does not have `name`, and which networks do."""
    row = HYPERPARAMETERS.get(name)
    if row is None:
        return unknown("hyperparameter", name, hyperparameters_of(network))
    return f"Unknown hyperparameter {name!r} of {network}; it is one of {', '.join(row.networks)}."


def in_words(condition: Condition) -> str:
    """Return a condition in words."""
    values = condition.values
    numbers = [value for value in values if isinstance(value, int)]
    if len(numbers) > 2 and values == tuple(range(numbers[0], numbers[-1] + 1)):
        return f"{condition.parent} is from {values[0]} to {values[-1]}"
    return f"{condition.parent} is {' or '.join(map(str, values))}"


HAS_LAYERS = Condition("num_layers", tuple(range(1, MAX_LAYERS + 1)))
HAS_MOMENTUM = Condition("optimizer", ("sgd", "rmsprop"))
# The rate that a plateau has lowered does not follow from the step.
HAS_WARMUP = Condition("lr_schedule", tuple(n for n in SCHEDULES if n != "reduce_on_plateau"))
HAS_BETAS = Condition("optimizer", ("adam", "adamw", "nadam", "adamax"))
_NUMBERS = ("regression",)
_CLASSES = ("binary", "multiclass")

_IS_PERIODIC = (Condition("numeric_encoding", ("periodic",)),)
_IS_PIECEWISE = (Condition("numeric_encoding", ("piecewise",)),)
_IS_EMBEDDED = (Condition("category_encoding", ("embedding",)),)
_OF_NUMBERS = frozenset({"number", "boolean", "datetime"})
_OF_CATEGORIES = frozenset({"category"})
_ENCODINGS = tuple(
    replace(
        row,
        networks=("mlp",),
        of_columns=_OF_CATEGORIES if row.name.startswith("category_") else _OF_NUMBERS,
        optional=True,
    )
    for row in (
        Hyperparameter("numeric_encoding", Kind.CHOICE, "standard", choices=NUMERIC_ENCODINGS),
        Hyperparameter("bins", Kind.INT, 16, 2, 128, when=_IS_PIECEWISE),
        Hyperparameter("frequencies", Kind.INT, 16, 1, 128, when=_IS_PERIODIC),
        # Cycles in a standard deviation of the number.
        Hyperparameter(
            "frequency_scale", Kind.FLOAT, 0.1, 0, 100, open_below=True, when=_IS_PERIODIC
        ),
        Hyperparameter("numeric_embedding_size", Kind.INT, 8, 1, 64, when=_IS_PERIODIC),
        Hyperparameter("category_encoding", Kind.CHOICE, "one_hot", choices=CATEGORY_ENCODINGS),
        Hyperparameter("category_embedding_size", Kind.INT, 8, 1, 64, when=_IS_EMBEDDED),
        Hyperparameter("missing_indicators", Kind.BOOLEAN, False),
    )
)

_ROWS = (
    Hyperparameter("conv_blocks", Kind.INT, 2, 1, MAX_BLOCKS, networks=("cnn",)),
    Hyperparameter("filters", Kind.INT, 32, 1, 1024, layers="conv_blocks", networks=("cnn",)),
    Hyperparameter("kernel_size", Kind.INT, 3, 1, 15, layers="conv_blocks", networks=("cnn",)),
    *_ENCODINGS,
    # Zero layers is a linear model.
    Hyperparameter("num_layers", Kind.INT, 2, 0, MAX_LAYERS),
    Hyperparameter("units", Kind.INT, 64, 1, 4096, when=(HAS_LAYERS,), layers="num_layers"),
    Hyperparameter(
        "activation",
        Kind.CHOICE,
        "relu",
        choices=ACTIVATIONS,
        when=(HAS_LAYERS,),
        layers="num_layers",
    ),
    Hyperparameter("dropout", Kind.FLOAT, 0.0, 0, 0.95, when=(HAS_LAYERS,), layers="num_layers"),
    Hyperparameter(
        "batch_normalization", Kind.BOOLEAN, False, when=(HAS_LAYERS,), layers="num_layers"
    ),
    # Of a TabM network, whose prediction is the mean of theirs.
    Hyperparameter("members", Kind.INT, 1, 1, MAX_MEMBERS, networks=("mlp",), optional=True),
    # Multiplies each input by a trained number that begins as 1; members have theirs anyway.
    Hyperparameter(
        "scaling_layer",
        Kind.BOOLEAN,
        False,
        when=(Condition("members", (1,)),),
        networks=("mlp",),
        optional=True,
    ),
    Hyperparameter("kernel_initializer", Kind.CHOICE, "glorot_uniform", choices=INITIALIZERS),
    Hyperparameter("l1", Kind.FLOAT, 0.0, 0, 1, optional=True),
    Hyperparameter("l2", Kind.FLOAT, 0.0, 0, 1),
    Hyperparameter("loss", Kind.CHOICE, "mse", choices=LOSSES, tasks=_NUMBERS, optional=True),
    # In standard deviations of the target.
    Hyperparameter(
        "huber_delta",
        Kind.FLOAT,
        1.0,
        0,
        1000,
        open_below=True,
        when=(Condition("loss", ("huber",)),),
        tasks=_NUMBERS,
        optional=True,
    ),
    Hyperparameter(
        "quantile",
        Kind.FLOAT,
        0.5,
        0,
        1,
        open_below=True,
        open_above=True,
        when=(Condition("loss", ("quantile",)),),
        tasks=_NUMBERS,
        optional=True,
    ),
    Hyperparameter(
        "label_smoothing",
        Kind.FLOAT,
        0.0,
        0,
        1,
        open_above=True,
        tasks=_CLASSES,
        optional=True,
    ),
    Hyperparameter("optimizer", Kind.CHOICE, "adam", choices=OPTIMIZERS),
    Hyperparameter("learning_rate", Kind.FLOAT, 1e-3, 0, 10, open_below=True),
    Hyperparameter("momentum", Kind.FLOAT, 0.0, 0, 1, open_above=True, when=(HAS_MOMENTUM,)),
    Hyperparameter(
        "beta_1", Kind.FLOAT, 0.9, 0, 1, open_above=True, when=(HAS_BETAS,), optional=True
    ),
    Hyperparameter(
        "beta_2", Kind.FLOAT, 0.999, 0, 1, open_above=True, when=(HAS_BETAS,), optional=True
    ),
    # 0 does not limit the gradient.
    Hyperparameter("global_clipnorm", Kind.FLOAT, 0.0, 0, 1e6, optional=True),
    Hyperparameter("weight_decay", Kind.FLOAT, 0.0, 0, 1),
    Hyperparameter("lr_schedule", Kind.CHOICE, "constant", choices=SCHEDULES),
    # The share of the steps in which the learning rate rises linearly from 0.
    Hyperparameter("warmup", Kind.FLOAT, 0.0, 0, 0.5, when=(HAS_WARMUP,), optional=True),
    Hyperparameter("batch_size", Kind.INT, 32, 1, 8192),
)
HYPERPARAMETERS: Mapping[str, Hyperparameter] = {row.name: row for row in _ROWS}

# A cnn has one value of these for all its convolutions and dense layers; it has at least one.
_OF_WHOLE_CNN = ("activation", "dropout", "batch_normalization")
_VARIANTS: Mapping[str, Mapping[str, Hyperparameter]] = {
    "cnn": {name: replace(HYPERPARAMETERS[name], when=(), layers=None) for name in _OF_WHOLE_CNN}
}


def hyperparameters_of(network: str) -> dict[str, Hyperparameter]:
    """Return the rows of `network` by name, in the order of the table."""
    own = _VARIANTS.get(network, {})
    return {
        name: own.get(name, row) for name, row in HYPERPARAMETERS.items() if network in row.networks
    }


def value(values: TrialValues, name: str) -> Value:
    """Return the value of `name`, or its default where the trial leaves it out.

    Raises TypeError if it has a value for each layer.
    """
    found = values.get(name, HYPERPARAMETERS[name].default)
    if isinstance(found, list):
        raise TypeError(f"{name} has a value for each layer; one for all was expected.")
    return found


def layer_value(values: TrialValues, name: str, layer: int) -> Value:
    """Return the value of `name` in a hidden layer, counted from 0: its own, or the common one."""
    found = values.get(name, HYPERPARAMETERS[name].default)
    return found[layer] if isinstance(found, list) else found
