"""A short slice of `make fuzz`, in process: made-up calls of every operation, with every check."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig

from models.settings import Settings
from tests.fuzzing.fuzz_service import KEY, ROWS, TINY, configuration

EXAMPLES = 4  # of each operation and mode
LEAST = 100  # cases of each mode
# Schemathesis unpacks no answer of an application that it calls in process.
HEADERS = {"Authorization": f"Bearer {KEY}", "Accept-Encoding": "identity"}


@pytest.fixture
def keyed(settings: Settings, connect: Callable[[Settings], FlaskClient]) -> FlaskClient:
    """A client of an API that wants a key; what is queued is never worked on."""
    return connect(Settings(data=settings.data, forecast_seconds=0, api_keys=f"fuzz:admin:{KEY}"))


def test_every_answer_to_made_up_calls_is_as_the_contract_says(keyed: FlaskClient) -> None:
    def stored(path: str, body: object) -> str:
        return keyed.post(path, json=body, headers=HEADERS).get_json()["id"]

    datasets = [stored("/datasets", {"records": ROWS[n:]}) for n in range(3)]
    jobs = [stored("/tune", {**TINY, "dataset": datasets[0], "seed": n}) for n in range(4)]
    text = configuration(
        {
            "datasets": datasets[:1],
            "spare_datasets": datasets[1:],
            "jobs": jobs,
            **{name: jobs[:2] for name in ("live_jobs", "doomed_jobs", "spare_jobs")},
            "models": ["flats"],
            "numbers": [1],
            "aliases": ["champion"],
            "files": ["model.onnx"],
            "columns": list(ROWS[0]),
        }
    )
    schema = schemathesis.openapi.from_wsgi(
        "/openapi.yaml", keyed.application, config=SchemathesisConfig.from_str(text)
    )
    operations: Any = schema.exclude(path="/tune/{job}/events").get_all_operations()
    made = Counter(
        mode
        for found in operations
        for mode in GenerationMode
        for _ in range(call_made_up(found.ok(), mode))
    )
    assert min(made.values()) >= LEAST


def call_made_up(operation: Any, mode: GenerationMode) -> int:
    """Make up cases, valid or not, call and check; how many there were."""
    cases = 0

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def call(case: Any) -> None:
        nonlocal cases
        cases += 1
        case.validate_response(case.call(headers=HEADERS), headers=HEADERS)

    with suppress(Unsatisfiable):  # an operation that takes nothing cannot be called wrongly
        call()
    return cases
