"""Dashboard, alert rules and document name only metrics and labels that there really are."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.processes import fetch
from tests.prometheus import value
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "observability"
DOCUMENT = ROOT / "docs" / "observability.md"

NAME = re.compile(r"\bluthier_\w+")
SELECTOR = re.compile(r"\b(luthier_\w+)\{([^}]*)\}")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
OF_TARGETS = {"instance"}  # Prometheus adds it to what it scrapes

Real = Mapping[str, set[str]]


@pytest.fixture(scope="module")
def scraped(service: Any, trained: Any) -> str:
    """What a service answers that has trained and predicted, also in a shadow: API and worker."""
    answer = trained.client.predict("flats", trained.rows[:3])
    assert len(answer["predictions"]) == 3
    alias = "/models/flats/aliases/shadowed"
    assert trained.http.put(alias, json={"version": 1, "shadow": 2}).is_success
    trained.client.predict("flats", trained.rows[:3], alias="shadowed")
    assert trained.http.delete(alias).is_success
    shadows = "luthier_shadow_requests_total{"
    wait_until(lambda: shadows in fetch(f"{service.url}/metrics").text)
    worker = f"{service.worker_url}/metrics"
    wait_until(lambda: "luthier_worker_gpus{" in fetch(worker).text)
    # The API's families have no end mark that would keep the worker's from following.
    return fetch(f"{service.url}/metrics").text + fetch(worker).text


@pytest.fixture(scope="module")
def real(scraped: str) -> Real:
    """The names of its labels by the name of each sample."""
    return {
        sample.name: set(sample.labels)
        for family in text_string_to_metric_families(scraped)
        for sample in family.samples
    }


def dashboard_expressions() -> list[str]:
    dashboard = json.loads((FOLDER / "grafana-dashboard.json").read_text(encoding="utf-8"))
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def alert_rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


@pytest.mark.parametrize(
    "expression", dashboard_expressions() + [rule["expr"] for rule in alert_rules()]
)
def test_an_expression_asks_for_what_there_is(expression: str, real: Real) -> None:
    names = set(NAME.findall(expression))
    assert names
    assert names <= set(real)
    for name, matchers in SELECTOR.findall(expression):
        assert set(MATCHER.findall(re.sub(r'"[^"]*"', '""', matchers))) <= real[name], name
    known = OF_TARGETS.union(*(real[name] for name in names))
    for labels in GROUPING.findall(expression):
        assert {label.strip() for label in labels.split(",") if label.strip()} <= known


def test_every_alert_says_what_it_means_and_how_grave_it_is() -> None:
    rules = alert_rules()
    assert len({rule["alert"] for rule in rules}) == len(rules) > 5
    for rule in rules:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_the_dashboard_shows_what_an_operator_asks_for(real: Real) -> None:
    shown = " ".join(dashboard_expressions())
    for metric in (
        "luthier_http_requests_total",
        "luthier_http_request_seconds_bucket",
        "luthier_predicted_rows_total",
        "luthier_queue_age_seconds",
        "luthier_trials",
        "luthier_trial_failures",
        "luthier_trainer_seconds",
        "luthier_worker_memory_bytes",
    ):
        assert metric in shown


def test_the_document_lists_every_metric_with_its_type_labels_and_meaning(scraped: str) -> None:
    rows = [
        line.strip("| ").split(" | ")
        for line in DOCUMENT.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `luthier_")
    ]
    found = sorted(
        [f"`{_series(family)}`", family.type, _labels(family), family.documentation]
        for family in text_string_to_metric_families(scraped)
    )
    assert sorted(rows) == found


def test_predictions_are_counted_by_model_and_version(service: Any, trained: Any) -> None:
    def scrape() -> tuple[float, float]:
        text = fetch(f"{service.url}/metrics").text
        labels = {"model": "flats", "version": "1"}
        return (
            value(text, "luthier_predictions_total", **labels),
            value(text, "luthier_predicted_rows_total", **labels),
        )

    requests, rows = scrape()
    trained.client.predict("flats", trained.rows[:5], version=1)
    assert scrape() == (requests + 1, rows + 5)
    refused = {"model": "flats", "version": 1, "instances": [{"no": "such column"}]}
    assert trained.http.post("/predict", json=refused).status_code == 422
    assert scrape() == (requests + 1, rows + 5)


def test_trials_and_their_seconds_are_counted(scraped: str) -> None:
    assert value(scraped, "luthier_trials", state="completed") >= 8
    assert value(scraped, "luthier_jobs", state="succeeded") >= 4
    assert value(scraped, "luthier_versions") >= 4
    assert value(scraped, "luthier_trainer_seconds") > 0


def _series(family: Any) -> str:
    """The name to ask for; of a histogram that of the family."""
    return f"{family.name}_total" if family.type == "counter" else str(family.name)


def _labels(family: Any) -> str:
    names = sorted({name for sample in family.samples for name in sample.labels} - {"le"})
    return ", ".join(f"`{name}`" for name in names) or "–"
