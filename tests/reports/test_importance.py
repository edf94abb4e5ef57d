import json

import numpy as np
import pytest

from tests.reports.recorded import job_spec, trial_row


def trials(count, score, seed=0):
    """Trials whose score `score(values, generator)` follows from their values."""
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(1, count + 1):
        layers = int(generator.integers(1, 4))
        values = {
            "num_layers": layers,
            "units": [int(generator.choice([8, 16, 32])) for _ in range(layers)],
            "activation": str(generator.choice(["relu", "selu", "tanh"])),
            "batch_normalization": bool(generator.integers(2)),
            "optimizer": str(generator.choice(["adam", "sgd"])),
            "learning_rate": float(10 ** generator.uniform(-4, -1)),
            "batch_size": 32,
        }
        if values["optimizer"] == "sgd":
            values["momentum"] = float(generator.random())
        rows.append(trial_row(number, float(score(values, generator)), values))
    return rows


def by_learning_rate(values, generator):
    return abs(np.log10(values["learning_rate"]) + 2) + 0.02 * generator.normal()


def by_activation(values, generator):
    return {"relu": 1.0, "selu": 2.0, "tanh": 3.0}[values["activation"]] + 0.1 * generator.normal()


def by_momentum(values, generator):
    return 5.0 * values.get("momentum", 0.5) + 0.1 * generator.normal()


def by_second_layer(values, generator):
    second = values["units"][1] if len(values["units"]) > 1 else 0
    return second + generator.normal()


def by_nothing(values, generator):
    return generator.normal()


@pytest.mark.parametrize(
    ("score", "hyperparameter"),
    [
        (by_learning_rate, "learning_rate"),
        (by_activation, "activation"),
        (by_momentum, "momentum"),
        (by_second_layer, "units"),
    ],
)
def test_the_one_hyperparameter_that_matters_is_found(app_client, record, score, hyperparameter):
    record("job_a", trials(80, score))
    body = app_client.get("/tune/job_a/importance").json
    assert body["trials"] == 80
    assert body["oob_r2"] > 0.5
    assert body["warning"] is None
    names = [item["hyperparameter"] for item in body["items"]]
    assert names[0] == hyperparameter
    idle = {"num_layers", "batch_normalization", "optimizer"}
    assert set(names) == idle | {"units", "activation", "learning_rate", "momentum"}
    assert len(names) == 7
    importances = [item["importance"] for item in body["items"]]
    assert importances == sorted(importances, reverse=True)
    assert importances[0] > 3 * importances[1]
    assert sum(item["share"] for item in body["items"]) == pytest.approx(1)
    assert "random forest" in body["method"]


def test_the_same_trials_give_the_same_ranking_whatever_the_scale_of_their_scores(
    app_client, record
):
    rows = trials(40, by_learning_rate)
    record("job_a", rows)
    record("job_b", [row | {"score": 10.0 ** row["score"]} for row in rows])
    first, again, scaled = (
        app_client.get(f"/tune/{job}/importance").json for job in ("job_a", "job_a", "job_b")
    )
    assert first == again
    assert first["items"] == scaled["items"]


def test_one_trial_that_nearly_diverged_does_not_become_all_that_is_explained(app_client, record):
    rows = trials(60, by_learning_rate)
    rows[7]["score"] = 1e12
    record("job_a", rows)
    body = app_client.get("/tune/job_a/importance").json
    assert body["items"][0]["hyperparameter"] == "learning_rate"
    assert body["oob_r2"] > 0.5


def test_a_ranking_that_means_nothing_says_so(app_client, record):
    record("job_a", trials(60, by_nothing))
    body = app_client.get("/tune/job_a/importance").json
    assert body["oob_r2"] < 0.2
    assert "means little" in body["warning"]


def test_few_trials_come_with_a_warning_and_fewer_are_refused(app_client, record):
    rows = trials(10, by_learning_rate)
    record("job_ten", rows)
    assert "Only 10 trials" in app_client.get("/tune/job_ten/importance").json["warning"]
    record("job_29", trials(29, by_learning_rate))
    assert "Only 29 trials" in app_client.get("/tune/job_29/importance").json["warning"]
    record("job_nine", [*rows[:9], trial_row(10, None)])
    refused = app_client.get("/tune/job_nine/importance")
    assert refused.status_code == 409
    assert "needs 10" in refused.json["detail"]
    assert "there are 9" in refused.json["detail"]


def test_repeats_that_took_over_a_result_do_not_count(app_client, record):
    rows = trials(10, by_learning_rate)
    rows[9] = rows[8] | {"number": 10, "key": "k10", "reused_job": "job_a", "reused_trial": 9}
    record("job_a", rows)
    assert app_client.get("/tune/job_a/importance").status_code == 409
    rows[9] |= {"reused_job": "job_z"}
    record("job_b", rows)
    assert app_client.get("/tune/job_b/importance").status_code == 200


def test_trials_that_do_not_differ_are_refused(app_client, record):
    record("job_a", [trial_row(number, 1.0 * number, {"units": 8}) for number in range(1, 13)])
    refused = app_client.get("/tune/job_a/importance")
    assert refused.status_code == 409
    assert "same values" in refused.json["detail"]


def test_equal_scores_have_no_r2_and_nothing_mattered(app_client, record):
    record("job_a", [row | {"score": 1.0} for row in trials(40, by_nothing)])
    body = app_client.get("/tune/job_a/importance").json
    assert body["oob_r2"] is None
    assert "All scores are equal" in body["warning"]
    assert {item["importance"] for item in body["items"]} == {0}
    json.dumps(body, allow_nan=False)


def test_epochs_that_a_strategy_varies_are_ranked_too(app_client, record):
    generator = np.random.default_rng(1)
    rows = [
        trial_row(n, 1 / epochs + 0.001 * generator.normal(), {"units": 8 * n}, epochs=epochs)
        for n, epochs in enumerate([2, 6, 18] * 12, 1)
    ]
    record("job_a", rows)
    assert app_client.get("/tune/job_a/importance").json["items"][0]["hyperparameter"] == "epochs"


def test_a_great_job_is_ranked_by_a_part_of_its_trials(app_client, record):
    record("job_a", trials(1200, by_learning_rate))
    body = app_client.get("/tune/job_a/importance").json
    assert body["trials"] == 1000
    assert body["items"][0]["hyperparameter"] == "learning_rate"


def test_a_single_width_among_widths_a_layer_stands_for_each_layer(app_client, record):
    rows = trials(40, by_second_layer)
    for row in rows[:10]:
        row["values"]["units"] = 16
    record("job_a", rows, job_spec())
    items = app_client.get("/tune/job_a/importance").json["items"]
    assert [item["hyperparameter"] for item in items].count("units") == 1


def test_an_unknown_job_has_no_importance(app_client):
    assert app_client.get("/tune/job_x/importance").status_code == 404
