"""Versions of several networks: which ones, what they answer, and what is said of them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from models.data.dataset import Dataset
from models.networks.averaging import Averaged, average, members_of
from models.registry.building import build_version
from models.registry.ensemble import Choice, choose_members
from models.registry.export import Candidate, ExportSpec
from models.serving.engine import PredictionEngine
from models.store.artifacts import Artifacts
from models.trials.data import prepare
from models.trials.run import load_weights, run_trial, save_weights
from models.trials.scoring import run_metrics
from tests.registry.conftest import FEATURES
from tests.registry.stored import stored

Tune = Callable[..., ExportSpec]


@pytest.fixture(scope="module")
def several(houses: Dataset, tune: Tune) -> ExportSpec:
    """A regression by the best of four trials, the others beside it."""
    rates = (0.01, 0.003, 0.001, 0.03)
    specs = [tune(houses, "price", FEATURES, values={"learning_rate": rate}) for rate in rates]
    ordered = sorted(specs, key=lambda spec: spec.result.score or 0.0)
    candidates = [
        Candidate(replace(spec.trial, number=number), spec.result)
        for number, spec in enumerate(ordered, 1)
    ]
    best = candidates[0]
    return replace(
        ordered[0], trial=best.trial, others=tuple(candidates[1:]), picks=6, version=3000
    )


def outputs_of(artifacts: Artifacts, outputs: Sequence[np.ndarray], spec: ExportSpec) -> ExportSpec:
    """The same candidates, as if they had answered their validation rows like this."""
    candidates = [Candidate(spec.trial, spec.result), *spec.others]
    changed = []
    for number, (candidate, answer) in enumerate(zip(candidates, outputs, strict=True)):
        (run,) = candidate.result.folds
        weights, name = load_weights(artifacts, run.weights), f"jobs/made/{number}.npz"
        save_weights(artifacts, name, weights, answer.astype(np.float32)[:, None])
        result = replace(candidate.result, folds=(replace(run, weights=name),))
        changed.append(Candidate(candidate.trial, result))
    return replace(spec, result=changed[0].result, others=tuple(changed[1:]))


def choice_of(artifacts: Artifacts, spec: ExportSpec) -> Choice:
    candidates = [Candidate(spec.trial, spec.result), *spec.others]
    return choose_members(candidates, prepare(spec.trial.data).folds, artifacts, spec.picks)


def test_errors_that_cancel_out_are_picked_together(
    artifacts: Artifacts, several: ExportSpec
) -> None:
    (fold,) = prepare(several.trial.data).folds
    truth = fold.training.y_validation
    noise = np.random.default_rng(0).normal(size=(2, len(truth)))
    answers = [truth + noise[0], truth - noise[0] + 0.1, truth + 3 * noise[1], truth + 9.0]
    spec = outputs_of(artifacts, answers, several)
    choice = choice_of(artifacts, spec)
    assert sorted(choice.picks) == [0, 0, 0, 1, 1, 1]
    mean = run_metrics(fold, np.mean(answers[:2], axis=0)[:, None], fold.validation_truth)
    assert choice.score == pytest.approx(mean["loss"], rel=1e-4)
    assert choice.rows == len(truth)
    assert choice.unseen_score is not None
    assert choice.unseen_single is not None
    assert choice.unseen_score < choice.unseen_single


def test_one_trial_stands_alone_unless_others_help_on_unseen_rows(
    artifacts: Artifacts, several: ExportSpec
) -> None:
    (fold,) = prepare(several.trial.data).folds
    truth = fold.training.y_validation
    spec = outputs_of(artifacts, [truth + 0.1, truth + 0.5, truth + 1.0, truth + 2.0], several)
    assert choice_of(artifacts, spec).picks == (0,)


def test_a_candidate_without_stored_answers_is_left_out(
    artifacts: Artifacts, several: ExportSpec
) -> None:
    (fold,) = prepare(several.trial.data).folds
    truth = fold.training.y_validation
    signs = np.where(np.arange(len(truth)) % 2, 1.0, -1.0)
    answers = [truth + signs, truth - signs, truth - 1.1 * signs, truth + 9]
    spec = outputs_of(artifacts, answers, several)
    gone, *others = spec.others
    (run,) = gone.result.folds
    artifacts.delete(run.weights)
    assert set(choice_of(artifacts, spec).picks) == {0, 2}
    spec = replace(spec, others=(gone, others[1]))
    assert choice_of(artifacts, spec).picks == (0,), "the only other one is gone, or is worse"
    weights = load_weights(artifacts, spec.result.folds[0].weights)
    save_weights(artifacts, run.weights, weights)  # as older versions did
    assert choice_of(artifacts, spec).picks == (0,)


def test_an_ensemble_answers_the_mean_of_its_members(
    artifacts: Artifacts, houses: Dataset, several: ExportSpec
) -> None:
    (fold,) = prepare(several.trial.data).folds
    truth = fold.training.y_validation
    signs = np.where(np.arange(len(truth)) % 2, 1.0, -1.0)
    spec = outputs_of(artifacts, [truth + signs, truth - signs, truth + 9, truth + 9], several)
    result = build_version(spec)
    ensemble = result.evidence["ensemble"]
    assert [member["trial"] for member in ensemble["members"]] == [1, 2]
    assert [member["weight"] for member in ensemble["members"]] == pytest.approx([0.5, 0.5])
    assert ensemble["unseen"]["score"] < ensemble["unseen"]["single"]
    assert result.evidence["training"]["execution"] is None
    alone = [
        build_version(replace(spec, version=3001 + n, trial=c.trial, result=c.result, others=()))
        for n, c in enumerate([Candidate(spec.trial, spec.result), spec.others[0]])
    ]
    engine = PredictionEngine(stored(artifacts), 1)
    rows = [{**_row(houses, number)} for number in range(40)]
    answers = [
        np.array(engine.predict("houses", version, rows).predictions)
        for version in (spec.version, 3001, 3002)
    ]
    np.testing.assert_allclose(answers[0], (answers[1] + answers[2]) / 2, rtol=1e-5)
    assert result.parameters == sum(each.parameters for each in alone)
    of_second = [layer for layer in result.layers if layer["name"].startswith("member_2/")]
    assert [layer["type"] for layer in of_second] == ["Dense", "Activation", "Dense"]
    assert sum(layer["parameters"] for layer in result.layers) == result.parameters


def test_members_may_have_encodings_of_their_own(
    artifacts: Artifacts, houses: Dataset, several: ExportSpec
) -> None:
    encodings = ["standard", "piecewise", "periodic", "quantile"]
    candidates = []
    for number, encoding in enumerate(encodings, 1):
        values = {**several.trial.values, "numeric_encoding": encoding}
        if number == 2:
            values |= {"category_encoding": "embedding", "missing_indicators": True}
        trial = replace(several.trial, number=number, values=values, weights=f"jobs/e/{number}")
        candidates.append(Candidate(trial, run_trial(trial)))
    (fold,) = prepare(several.trial.data).folds
    truth = fold.training.y_validation
    noise = np.random.default_rng(1).normal(size=(4, len(truth)))
    answers = list(truth + noise - noise.mean(axis=0))
    first, *others = candidates
    spec = replace(several, version=3030, trial=first.trial, result=first.result, picks=8)
    spec = outputs_of(artifacts, answers, replace(spec, others=tuple(others)))
    result = build_version(spec)  # parity is checked here
    members = result.evidence["ensemble"]["members"]
    assert sorted(member["trial"] for member in members) == [1, 2, 3, 4]
    state = json.loads(stored(artifacts).read("houses", 3030, "preprocessing.json"))
    assert len(state["other_preprocessors"]) == 2, "periodic numbers are standard ones"
    refitted = build_version(replace(spec, version=3031, refit=True))
    assert len(refitted.evidence["ensemble"]["members"]) == 4
    assert refitted.metrics is not None


def test_a_refit_trains_every_pick_from_a_seed_of_its_own(several: ExportSpec) -> None:
    result = build_version(replace(several, version=3010, refit=True, others=()))
    ensemble = result.evidence["ensemble"]
    assert [(m["trial"], m["networks"]) for m in ensemble["members"]] == [(1, 6)]
    assert ensemble["score"] is None, "one trial alone was not compared"
    assert result.evidence["training"]["refit"]
    assert result.evidence["training"]["rows"] == 108
    single = build_version(replace(several, version=3011, refit=True, others=(), picks=1))
    assert result.parameters == 6 * single.parameters
    assert single.evidence["ensemble"] is None


def test_members_that_diverge_are_left_out(several: ExportSpec, artifacts: Artifacts) -> None:
    (fold,) = prepare(several.trial.data).folds
    truth = fold.training.y_validation
    signs = np.where(np.arange(len(truth)) % 2, 1.0, -1.0)
    spec = outputs_of(artifacts, [truth + signs, truth - signs, truth + 9, truth + 9], several)
    wild: dict[str, Any] = {"learning_rate": 10.0, "optimizer": "sgd", "num_layers": 8}
    other = spec.others[0]
    diverging = Candidate(
        replace(other.trial, values={**other.trial.values, **wild}),
        replace(other.result, best_epoch=30),
    )
    spec = replace(spec, version=3020, refit=True, others=(diverging, *spec.others[1:]))
    (member,) = build_version(spec).evidence["ensemble"]["members"]
    assert (member["trial"], member["networks"]) == (1, 3)
    assert member["weight"] == pytest.approx(1.0)


def test_every_execution_of_a_member_is_served(houses: Dataset, tune: Tune) -> None:
    spec = tune(houses, "class", FEATURES, executions=3)
    result = build_version(replace(spec, picks=4))
    (member,) = result.evidence["ensemble"]["members"]
    assert (member["networks"], member["weight"]) == (3, pytest.approx(1.0))


def test_a_network_knows_its_members(tmp_path: Any) -> None:
    networks = [keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]) for _ in range(3)]
    weights = [0.5, 0.25, 0.25]
    mean = average([Averaged(*each) for each in zip(networks, weights, strict=True)])
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    expected = 0.5 * networks[0](x) + 0.25 * networks[1](x) + 0.25 * networks[2](x)
    np.testing.assert_allclose(mean(x), expected, rtol=1e-5)
    mean.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(x), expected, rtol=1e-5)
    assert [member.weight for member in members_of(loaded)] == weights
    (only,) = members_of(networks[0])
    assert (only.network, only.weight, only.place) == (networks[0], 1.0, 0)
    assert average([only]) is networks[0]


def _row(houses: Dataset, number: int) -> dict[str, Any]:
    cells: dict[str, Any] = {
        name: houses.values[name][number] for name in ("area", "survey", "town")
    }
    return {
        **{name: None if cell != cell else cell for name, cell in cells.items()},
        "garden": None,
        "sold": None,
    }
