"""What a version learns from its calibration rows: a temperature, a threshold, and intervals."""

from dataclasses import dataclass, replace

import numpy as np

from models.data.preparation.tasks import Task
from models.registry.certainty.conformal import Conformal, coverage
from models.registry.certainty.reliability import reliability_document
from models.registry.certainty.rows import (
    CalibrationRows,
    calibration_document,
    calibration_rows,
)
from models.registry.certainty.temperature import (
    Temperature,
    choose_temperature,
    tempered,
    untempered,
)
from models.registry.certainty.threshold import Threshold, choose_threshold
from models.registry.documents import Document
from models.registry.evidence.document import positive_number
from models.registry.evidence.held_out import HeldOut
from models.registry.members import Members
from models.trials.data import LoadedData
from models.trials.spec import DataRef


@dataclass(frozen=True, slots=True, eq=False)
class Certainty:
    """The temperature and the threshold of a version, and the rows that its intervals rest on."""

    rows: CalibrationRows  # with the answers at the temperature
    temperature: Temperature
    threshold: Threshold
    positive: int | None  # the class that a threshold is about; None unless there are two

    def file(self) -> Document:
        """Return calibration.json."""
        return calibration_document(self.rows)

    def document(self, held_out: HeldOut) -> Document:
        """Return what evidence.json says: all of it, measured on the test rows.

        A part without test or calibration rows is None.
        """
        served, truth, value = held_out.served, held_out.truth, self.temperature.value
        test = before = covered = None
        if served.shape[1] > 1:
            test = reliability_document(truth, served, self.positive)
        if test is not None and value is not None:
            before = reliability_document(truth, untempered(served, value), self.positive)
        if len(truth) and len(self.rows.truth) and np.isfinite(served).all():
            covered = coverage(Conformal.from_json(self.file()), truth, served)
        return {
            "calibration": {
                "rows": len(self.rows.truth),
                "note": self.rows.note,
                **self.temperature.document(),
                "test": test,
                "untempered": before,
            },
            "coverage": covered,
            "threshold": (
                None if self.positive is None else self.threshold.document(held_out, self.positive)
            ),
        }


def choose_certainty(
    data: LoadedData, ref: DataRef, members: Members, threshold: float | str | None
) -> Certainty:
    """Choose a temperature of classes, then a threshold of two of them as `threshold` says."""
    rows = calibration_rows(data, ref, members)
    temperature = choose_temperature(rows, ref, members)
    rows = replace(rows, answers=tempered(rows.answers, temperature.value))
    if ref.task is not Task.BINARY:
        return Certainty(rows, temperature, Threshold(), None)
    positive = positive_number(members.folds[0])
    chosen = Threshold() if threshold is None else choose_threshold(rows, threshold, positive)
    return Certainty(rows, temperature, chosen, positive)
