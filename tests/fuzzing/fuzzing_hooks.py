"""What schemathesis loads to put into a request what its dictionaries cannot."""

import json
import os
from itertools import count, cycle
from pathlib import Path
from typing import Any

import schemathesis
from schemathesis import GenerationMode

STORED = json.loads(Path(os.environ["FUZZ_STORED"]).read_text())
_SPARE = {"job": cycle(STORED["spare_jobs"]), "dataset": cycle(STORED["spare_datasets"])}
_KEPT = {*STORED["jobs"], *STORED["live_jobs"], *STORED["datasets"], *STORED["models"]}
# Each operation has models of its own: one that deletes a model must not take those of the others.
_SPARE_MODELS = {
    label: cycle(STORED["spare_models"][start::3])
    for start, label in enumerate(
        (
            "DELETE /models/{model}",
            "DELETE /models/{model}/versions/{version}",
            "DELETE /models/{model}/aliases/{alias}",
        )
    )
}
_calls, _numbers = count(), count(13)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Keep what the run needs from being deleted; make every second valid request a real one."""
    if case.operation.method.upper() == "DELETE":
        for name, spare in _SPARE.items():
            if case.path_parameters.get(name) in _KEPT:
                case.path_parameters[name] = next(spare)
        if case.path_parameters.get("model") in _KEPT:
            case.path_parameters["model"] = next(_SPARE_MODELS[case.operation.label])
    valid = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    if case.operation.label in ("DELETE /tune", "DELETE /datasets") and valid:
        case.query["dry_run"] = "true"  # a filter would reach what the run needs
    if valid and next(_calls) % 2:
        _fill_in(case)


def _fill_in(case: Any) -> None:
    if isinstance(case.body, dict):
        _fill_in_rows(case)
    match case.operation.label:
        case "POST /predict" if isinstance(case.body, dict):
            case.body["instances"] = STORED["instances"]
        case "POST /tune/{job}/trials":
            case.body = {"values": {"units": next(_numbers)}}
        case "PATCH /tune/{job}":
            case.body = {"budget": {"max_trials": next(_numbers)}}
        case "DELETE /tune":
            case.query |= {"model": "flats", "state": "succeeded"}
        case "DELETE /datasets":
            case.query["unused"] = "true"
        case "GET /compare":
            case.query["jobs"] = ",".join(STORED["ended_jobs"])


def _fill_in_rows(case: Any) -> None:
    """Put real rows into a request in the protocol of another server."""
    label, rows = case.operation.label, STORED["instances"]
    if label.endswith(":predict"):
        case.body = {"instances": rows}
    elif label.endswith(":regress"):
        case.body = {"examples": rows}
    elif label.endswith(":classify"):
        place = {"model": "kinds", "version": 1, "label": "champion"}
        case.path_parameters |= {name: place[name] for name in case.path_parameters}
        case.body = {"examples": [{"x": 0.25}]}
    elif label.endswith("/infer"):
        types = {"area": "FP64", "town": "BYTES", "garden": "BOOL"}
        case.body = {"inputs": [_tensor(name, kind, rows) for name, kind in types.items()]}
    elif label == "POST /invocations":
        case.body, case.query["model"] = {"dataframe_records": rows}, "flats"


def _tensor(name: str, datatype: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    cells = [row[name] for row in rows]
    return {"name": name, "datatype": datatype, "shape": [len(cells)], "data": cells}
