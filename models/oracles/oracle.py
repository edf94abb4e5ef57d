"""What every oracle does: it is asked for trials and told their scores."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from models.space.hyperparameters import TrialValues, Value


@dataclass(frozen=True, slots=True)
class Proposal:
    """One trial to run."""

    key: str  # the oracle's name for it: "<strategy>-<number>"
    values: Mapping[str, Value | list[Value]]  # full: fixed and default ones too
    epochs: int | None = None  # to train to, counted from the parent's first; None: the budget's
    initial_epoch: int = 0  # epochs that the parent has trained already
    parent: str | None = None  # key of the trial whose weights it continues


@dataclass(frozen=True, slots=True)
class Observation:
    """One trial of the past, as the database keeps it."""

    key: str
    values: TrialValues
    score: float | None  # None: failed, or still running
    running: bool = False


class Oracle(Protocol):
    """Decides which values to try next. Not thread-safe: one oracle, one thread.

    The trials proposed depend only on the seed and on what was told before each `ask`.
    """

    def ask(self, n: int) -> list[Proposal]:
        """Propose up to `n` trials: fewer, or none, where it must wait or has no more."""

    def tell(self, key: str, score: float | None) -> None:
        """Take in the score of a trial; None, or a score that is not finite, is a failed one.

        Raises NotFound for a key that is not known, Conflict for a trial that was told before.
        """

    def learn(self, told: Observation) -> None:
        """Take in a trial that the oracle did not propose, such as one of the user's own.

        Its values are not proposed again, and its score counts; it uses up none of `max_trials`.
        Its key must not look like one of the oracle's own.
        """

    @property
    def finished(self) -> bool:
        """Whether no `ask` will propose anything again, whatever still runs.

        It is true at the latest after an `ask` that proposed nothing while no trial ran.
        """

    def state(self) -> dict[str, Any]:
        """What the history cannot tell, as strict JSON; goes with the history of that moment."""
