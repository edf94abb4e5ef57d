"""Making a winning trial a version: what is asked, what comes back, and the entry point."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.errors import LuthierError
from models.registry.documents import SignatureDocument
from models.registry.parity import Parity
from models.trials.spec import TrialResult, TrialSpec

Figures = Mapping[str, float | None]  # by the names of `models.trials.objective.METRICS`


class RefitError(LuthierError):
    """The winner's values, trained on more rows, came to nothing."""


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
    signature: SignatureDocument
    evidence: dict[str, Any]


def export(spec: ExportSpec) -> ExportResult:
    """Write every file of a version under its artifact folder; run it where TensorFlow may be.

    The weights are those of the trial's best run, unless a refit is asked for or the trial was
    cross-validated: then each of its networks missed a part of the rows, and the values are
    trained once more on all rows but the test rows. Where the trial's weights are needed but gone,
    as those of a result taken over may be, the trial is trained again first. Raises ParityError if
    the ONNX graph does not answer as the network does and RefitError if the second training fails;
    nothing is written then.
    """
    # The parent sends this function by name and so imports this file; TensorFlow stays out of it.
    from models.registry.building import build_version

    return build_version(spec)
