"""The verdict on a new version: what moves `champion`, and what is told."""

from typing import Any

import pytest

from models.registry.catalog.promotion import (
    Comparison,
    Promote,
    PromotionRule,
    contract_differences,
    judge,
)

ALWAYS, NEVER = Promote.ALWAYS, Promote.NEVER
SIGNATURE: dict[str, Any] = {
    "task": "regression",
    "target": "price",
    "classes": None,
    "columns": [{"name": "area", "type": "number"}, {"name": "town", "type": "category"}],
}


def compared(low: float, high: float, **changes: Any) -> Comparison:
    figures: dict[str, Any] = {
        "rows": 1200,
        "metric": "rmse",
        "score": 10.0,
        "champion_score": 10.0 + (low + high) / 2,
        "difference": (low + high) / 2,
        "difference_interval": [low, high],
    }
    return Comparison(3, **(figures | changes))


BETTER, WORSE, EQUAL = compared(1, 3), compared(-3, -1), compared(-1, 2)
OTHER_TARGET = Comparison(3, ("target",), trouble="The two differ in target.")
UNKNOWN = Comparison(3, trouble="Of the 6 test rows, 6 are new.")
NONE = Comparison(None)


@pytest.mark.parametrize(
    ("rule", "found", "promoted", "reason"),
    [
        (
            {},
            BETTER,
            True,
            "It is better than the champion, version 3, by more than noise: rmse 10 against 12 on"
            " 1,200 rows that neither learned from (95 % interval of the gain: 1 to 3).",
        ),
        ({}, WORSE, False, "It is worse than the champion, version 3: rmse 10 against 8 on"),
        ({}, EQUAL, False, "It is not better than the champion, version 3 by more than noise"),
        ({}, compared(0, 0), False, "It is not better"),
        ({"min_gain": 0.5}, BETTER, True, "by more than noise and the 0.5 of `min_gain`"),
        ({"min_gain": 1.0}, BETTER, False, "by more than noise and the 1 of `min_gain`"),
        ({}, compared(1, 3, difference_interval=None), False, "interval of the gain: none"),
        ({}, UNKNOWN, False, "It cannot be compared with the champion, version 3: Of the 6"),
        ({}, NONE, True, "No version was the champion."),
        ({}, OTHER_TARGET, False, "Its target differs from the champion, version 3, whose"),
        ({"promote": ALWAYS}, OTHER_TARGET, False, "only `breaking: true` promotes such"),
        ({"breaking": True}, OTHER_TARGET, False, "It cannot be compared"),
        ({"promote": ALWAYS, "breaking": True}, OTHER_TARGET, True, "The job asked for it."),
        ({"promote": ALWAYS}, WORSE, True, "The job asked for it. It is worse than"),
        ({"promote": ALWAYS}, UNKNOWN, True, "The job asked for it. It cannot be compared"),
        ({"promote": NEVER}, BETTER, False, "The job asked to keep the champion. It is better"),
        ({"promote": NEVER}, NONE, False, "The job asked to keep the champion."),
        ({"is_allowed": False}, BETTER, False, "It is better than"),
        ({"is_allowed": False}, BETTER, False, "But it is not allowed: the key of the job"),
        ({"is_allowed": False}, NONE, False, "But it is not allowed"),
        ({"is_allowed": False, "promote": ALWAYS}, BETTER, False, "But it is not allowed"),
    ],
)
def test_the_champion_moves_only_for_a_reason(
    rule: dict[str, Any], found: Comparison, promoted: bool, reason: str
) -> None:
    verdict = judge(PromotionRule(**rule), found, is_first=False, auto_promote=False)
    assert verdict["promoted"] == promoted
    assert reason in verdict["reason"]
    assert verdict["champion"] == found.champion


@pytest.mark.parametrize("promote", list(Promote))
def test_the_first_version_is_the_champion_in_any_case(promote: Promote) -> None:
    rule = PromotionRule(promote, is_allowed=False)
    verdict = judge(rule, NONE, is_first=True, auto_promote=False)
    assert (verdict["promoted"], verdict["champion"]) == (True, None)


@pytest.mark.parametrize(
    ("rule", "promoted"),
    [({}, True), ({"promote": ALWAYS}, False), ({"breaking": True}, False)],
)
def test_a_model_may_let_better_versions_in_and_no_others(
    rule: dict[str, Any], promoted: bool
) -> None:
    asked = PromotionRule(**rule, is_allowed=False)
    assert judge(asked, BETTER, is_first=False, auto_promote=True)["promoted"] == promoted
    assert not judge(asked, WORSE, is_first=False, auto_promote=True)["promoted"]


@pytest.mark.parametrize(
    ("better", "found"),
    [(True, BETTER), (False, WORSE), ("undecided", EQUAL), (None, UNKNOWN), (None, NONE)],
)
def test_the_verdict_has_the_figures(better: object, found: Comparison) -> None:
    verdict = judge(PromotionRule(min_gain=0.5), found, is_first=False, auto_promote=False)
    assert verdict["better"] == better
    assert (verdict["score"], verdict["rows"]) == (found.score, found.rows)
    assert (verdict["promote"], verdict["min_gain"]) == ("if_better", 0.5)


def area(**changes: Any) -> dict[str, Any]:
    return {"columns": [{"name": "area", "type": "number"} | changes, SIGNATURE["columns"][1]]}


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({}, ()),
        ({"sample": {"area": 1}, "unused": ["id"]}, ()),
        ({"target": "rent"}, ("target",)),
        ({"task": "binary", "classes": ["a", "b"]}, ("task", "classes")),
        ({"columns": SIGNATURE["columns"][::-1]}, ("inputs",)),
        ({"columns": SIGNATURE["columns"][:1]}, ("inputs",)),
        (area(type="text"), ("inputs",)),
        (area(categories=["a"]), ()),
        (area(spelling={"decimal": ","}), ("inputs",)),
        (area(spelling={"words": ["no", "yes"]}), ("inputs",)),
        (area(spelling={"missing": ["?"], "lenient": True}), ()),
    ],
)
def test_a_contract_is_all_that_a_client_relies_on(
    change: dict[str, Any], parts: tuple[str, ...]
) -> None:
    assert contract_differences(SIGNATURE | change, SIGNATURE) == parts
    assert contract_differences(SIGNATURE, SIGNATURE | change) == parts
