"""The export of a winning trial as a version: what is asked and what comes back."""

from dataclasses import dataclass
from typing import Any

from models.errors import LuthierError
from models.registry.documents import Document, Figures
from models.trials.spec import TrialResult, TrialSpec


class RefitError(LuthierError):
    """Training the winner's values again failed."""


class ParityError(LuthierError):
    """The ONNX graph answers otherwise than the network it was made from."""


@dataclass(frozen=True, slots=True)
class Parity:
    """The distance of the ONNX graph's answers from the Keras network's."""

    difference: float  # the largest; see `models.registry.onnx.parity.largest_difference`
    tolerance: float
    rows: int  # compared, synthetic ones included


@dataclass(frozen=True, slots=True)
class Candidate:
    """A scored trial that may become a member of a version."""

    trial: TrialSpec
    result: TrialResult


@dataclass(frozen=True, slots=True)
class ExportSpec:
    """The trials that become a version; plain values that travel between processes."""

    model: str
    version: int
    trial: TrialSpec  # the best one, or the one that a user has chosen
    result: TrialResult
    refit: bool = False  # train again on training and validation rows together
    others: tuple[Candidate, ...] = ()  # the next best trials
    picks: int = 1  # networks of the version at most
    # Of two classes: a number, or the metric that it is chosen for. None: the more probable class.
    threshold: float | str | None = None


@dataclass(frozen=True, slots=True)
class ExportResult:
    """The written files, and the details that the registry shows; JSON throughout."""

    files: dict[str, dict[str, Any]]  # name -> {"sha256": hex, "bytes": size, "path"}
    metrics: Figures | None  # on the test rows, in the target's own units; None without any
    baseline: Figures | None  # on the same rows
    parity: Parity
    layers: list[dict[str, Any]]  # name, type, output_shape, parameters
    summary: str  # the layers as text
    parameters: int
    signature: Document
    evidence: Document
