"""Every limit that the contract declares is enforced: one beyond it is refused, it is not."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from flask.testing import FlaskClient

from models.settings import Settings

ROWS = [{"a": n, "b": n % 3, "y": n * 1.5} for n in range(300)]
TUNE = {"model": "m", "dataset": {"records": ROWS}, "target": "y"}
# Requests that are legal but for the field under test, and where their schema is.
REQUESTS: Mapping[str, tuple[str, str, str, dict[str, Any]]] = {
    "tune": ("POST", "/tune?dry_run=true", "JobSpec", TUNE),
    "budget": ("PATCH", "/tune/job_0", "ChangeBudget", {"budget": {"max_trials": 2}}),
    "trials": ("POST", "/tune/job_0/trials", "EnqueueTrials", {}),
    "predict": ("POST", "/predict", "Predict", {"model": "m", "instances": [[1]]}),
    "alias": ("PUT", "/models/m/aliases/a", "Alias", {"version": 1}),
    "dataset": ("POST", "/datasets", "InlineDataset", {"records": [{"a": 1}, {"a": 2}]}),
}
# What is legal here depends on other fields as well, so only refusals are tested.
DEPENDENT = {
    *(f"search_space.{name}" for name in ("conv_blocks", "filters", "kernel_size", "momentum")),
    *("search_space.huber_delta", "search_space.label_smoothing"),
    *(f"search_space.{name}" for name in ("bins", "frequencies", "frequency_scale")),
    *("search_space.numeric_embedding_size", "search_space.category_embedding_size"),
    *("objective", "early_stopping.start_from_epoch"),
    *("threshold", "threshold.metric"),  # of two classes
    *("strategy.min_epochs", "pruning.min_epochs", "pruning.reduction_factor"),
    # Rows in JSON have no layout of a file.
    *(f"options.{name}" for name in ("header", "delimiter", "encoding", "skip_rows", "sheet")),
    "from",  # there is no such dataset, and only one of it and `records` may be given
}
Path = tuple[str, ...]
Case = tuple[Path, Any, bool]  # where, the value put there, and whether it is legal


class Contract:
    """Makes values of the schemas of one OpenAPI document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.schemas: Mapping[str, Any] = document["components"]["schemas"]

    def resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """The schema itself in place of a reference; `allOf` has one member here."""
        reference = schema.get("$ref")
        if reference is not None:
            return self.resolve(self.schemas[reference.rpartition("/")[2]])
        if "allOf" in schema:
            (only,) = schema["allOf"]
            return {**self.resolve(only), **{k: v for k, v in schema.items() if k != "allOf"}}
        return schema

    def legal(self, schema: Mapping[str, Any]) -> Any:
        """The smallest legal value."""
        schema = self.resolve(schema)
        if "enum" in schema:
            return schema["enum"][0]
        match schema.get("type"):
            case "object":
                names = schema.get("required", ())
                return {name: self.legal(schema["properties"][name]) for name in names}
            case "array":
                return [self.legal(schema["items"])] * schema.get("minItems", 0)
            case "string":
                return schema.get("example", "a" * schema.get("minLength", 1))
            case "integer" | "number":
                return schema.get("minimum", 1)
            case "boolean":
                return True
        return 1

    def cases(self, schema: Mapping[str, Any], path: Path = ()) -> Iterator[Case]:
        """Values that are legal but for one place, at its bound or just beyond."""
        schema = self.resolve(schema)
        alternatives = (*schema.get("anyOf", ()), *schema.get("oneOf", ()))
        for alternative in alternatives:
            for place, value, is_legal in self.cases(alternative, path):
                # What one alternative refuses, another may take.
                if is_legal or not any(is_whole_above(other, value) for other in alternatives):
                    yield place, value, is_legal
        for value, is_legal in bounds(schema, self):
            yield path, value, is_legal
        whole = self.legal(schema) if "properties" in schema else {}
        for name, below in schema.get("properties", {}).items():
            for place, value, is_legal in self.cases(below, (*path, name)):
                yield place, {**whole, name: value}, is_legal


def is_whole_above(schema: Mapping[str, Any], value: Any) -> bool:
    """Whether a value is a whole number of a schema of counts, which has only a minimum."""
    is_count = schema.get("type") == "integer" and "maximum" not in schema
    is_whole = isinstance(value, int | float) and value == int(value)
    return is_count and is_whole and value >= schema["minimum"]


def bounds(schema: Mapping[str, Any], contract: Contract) -> Iterator[tuple[Any, bool]]:
    """Values at and beyond what the keywords of one schema allow."""
    whole = schema.get("type") == "integer"
    for keyword, exclusive, away in (
        ("minimum", "exclusiveMinimum", -math.inf),
        ("maximum", "exclusiveMaximum", math.inf),
    ):
        if keyword in schema:
            limit = schema[keyword]
            step = math.copysign(1, away)
            yield limit + step if not whole else int(limit + step), False
            yield limit, not schema.get(exclusive, False)
    for keyword, change in (("minLength", -1), ("maxLength", 1)):
        if keyword in schema:
            yield "a" * (schema[keyword] + change), False
            yield "a" * schema[keyword], True
    for keyword, change in (("minItems", -1), ("maxItems", 1)):
        if keyword in schema and schema["items"]:
            item = contract.legal(schema["items"])
            yield [item] * (schema[keyword] + change), False
    if schema.get("minProperties") == 1:
        yield {}, False
    if "pattern" in schema:
        yield "a\n", False
        yield "a", True
    if "enum" in schema and schema.get("type") == "string" and not schema.get("nullable"):
        yield "no such", False


@pytest.fixture(scope="module")
def unlimited(
    tmp_path_factory: pytest.TempPathFactory, migrated: Any, connect: Callable[..., FlaskClient]
) -> FlaskClient:
    data = tmp_path_factory.mktemp("bounds")
    (data / "luthier.db").write_bytes(migrated.read_bytes())
    return connect(
        Settings(data=str(data), forecast_seconds=0, max_trials_per_job=2**31, max_body_bytes=10**9)
    )


@pytest.mark.parametrize("name", REQUESTS)
def test_bounds_of_a_body_are_those_of_the_service(unlimited: FlaskClient, name: str) -> None:
    method, path, schema, base = REQUESTS[name]
    contract = Contract(unlimited.get("/openapi.json").get_json())
    refusals = 0
    for place, value, is_legal in contract.cases(contract.schemas[schema]):
        dotted = ".".join(place)
        if is_legal and dotted in DEPENDENT:
            continue
        response = unlimited.open(path, method=method, json=base | value)
        errors = response.get_json().get("errors", {})
        at_it = any(f"{error}.".startswith(f"{dotted}.") for error in errors)
        above = any(f"{dotted}.".startswith(f"{error}.") for error in errors)
        assert not at_it if is_legal else at_it or above, (dotted, value, errors)
        refusals += not is_legal
    assert refusals


def test_bounds_of_queries_are_those_of_the_service(unlimited: FlaskClient) -> None:
    document = unlimited.get("/openapi.json").get_json()
    refusals = 0
    for path, item in document["paths"].items():
        for parameter in item.get("get", {}).get("parameters", ()):
            if parameter["in"] != "query":
                continue
            for value, is_legal in bounds(parameter["schema"], Contract(document)):
                query = {"jobs": "a,b"} if path == "/compare" else {}
                address = re.sub("{.*?}", "1", path)
                response = unlimited.get(address, query_string=query | {parameter["name"]: value})
                errors = (response.get_json() or {}).get("errors", {})
                assert (parameter["name"] in errors) != is_legal, (path, parameter, value, errors)
                refusals += not is_legal
    assert refusals
