"""What evidence.json says of calibration, and of intervals and label sets."""

import numpy as np

from models.registry.certainty.conformal import Conformal, coverage
from models.registry.certainty.reliability import reliability_document
from models.registry.certainty.rows import CalibrationRows
from models.registry.certainty.temperature import Temperature, untempered
from models.registry.documents import Document
from models.registry.evidence.held_out import HeldOut


def certainty_document(
    rows: CalibrationRows,
    temperature: Temperature,
    calibration: Document,
    held_out: HeldOut,
    positive: int | None,
) -> Document:
    """Measure on the test rows what was made of the calibration rows.

    `calibration` is the content of calibration.json; `positive` is the class whose probability is
    compared. A part without test or calibration rows is None.
    """
    served, truth = held_out.served, held_out.truth
    test = before = None
    if served.shape[1] > 1:
        test = reliability_document(truth, served, positive)
    if test is not None and temperature.value is not None:
        before = reliability_document(truth, untempered(served, temperature.value), positive)
    covered = None
    if len(truth) and len(rows.truth) and np.isfinite(served).all():
        covered = coverage(Conformal.from_json(calibration), truth, served)
    return {
        "calibration": {
            "rows": len(rows.truth),
            "note": rows.note,
            **temperature.document(),
            "test": test,
            "untempered": before,
        },
        "coverage": covered,
    }
