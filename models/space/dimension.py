"""One number or choice that an oracle decides."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.space.hyperparameters import Condition, Value
from models.space.parameters import Tunable


@dataclass(frozen=True, slots=True)
class Dimension:
    """One number or choice that an oracle decides."""

    name: str  # of the hyperparameter, with _1, _2, … for the layers
    parameter: Tunable
    hyperparameter: str
    layer: int | None = None  # 1 is the first layer
    when: tuple[Condition, ...] = ()  # on dimensions; all must hold for it to be active

    def active(self, flat: Mapping[str, Value]) -> bool:
        """Whether it has an effect beside the values of the dimensions before it."""
        return all(
            condition.parent in flat and flat[condition.parent] in condition.values
            for condition in self.when
        )
