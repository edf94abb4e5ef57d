"""Export a winning trial as a version: what is asked, what comes back, and the entry point."""

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
    """How near the ONNX graph's answers are to the Keras network's."""

    difference: float  # the largest; see `models.registry.parity.largest_difference`
    tolerance: float
    rows: int  # compared, synthetic ones included


@dataclass(frozen=True, slots=True)
class ExportSpec:
    """Which trial becomes which version; plain values that travel between processes."""

    model: str
    version: int
    trial: TrialSpec
    result: TrialResult  # of that trial, which succeeded
    refit: bool = False  # train again on training and validation rows together


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was written, with what the registry shows of it; JSON throughout."""

    files: dict[str, dict[str, Any]]  # name -> {"sha256": hex, "bytes": size, "path"}
    metrics: Figures | None  # on the test rows, in the target's own units; None without any
    baseline: Figures | None  # on the same rows
    parity: Parity
    layers: list[dict[str, Any]]  # name, type, output_shape, parameters
    summary: str  # the layers as text
    parameters: int
    signature: Document
    evidence: Document


def export(spec: ExportSpec) -> ExportResult:
    """Write every file of a version under its artifact folder; needs TensorFlow.

    The weights are those of the trial's best run. With `refit`, or if the trial was
    cross-validated, so that each of its networks missed some of the rows, its values are trained
    once more on all rows but the test rows. If the trial's weights are needed but gone, as those
    of a reused result may be, the trial is trained again first.

    Raises ParityError if the ONNX graph does not answer as the network does, and RefitError if
    training again fails. Nothing is written then.
    """
    # The parent sends this function by name and so imports this file; TensorFlow stays out of it.
    from models.registry.building import build_version

    return build_version(spec)
