"""Whether a new version becomes the champion: the contract, the comparison, and the verdict."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from models.errors import Conflict
from models.registry.documents import UNDECIDED, Document
from models.trials.spec import DataRef, Objective

MIN_ROWS = 20  # that neither version learned from, below which nothing is compared

_CELLS = ("decimal", "thousands", "unit", "magnitudes", "dates", "words")  # of a spelling
_FIRST = "It is the first version of the model."
_IMPORTED = "It was imported, without evidence: only whoever moves the alias promotes it."
_SHARED = "several versions share its requests by weights, which only `always` or a move ends."
_NO_CHAMPION = "No version was the champion."


class Promote(StrEnum):
    """When a job moves `champion` to its version."""

    IF_BETTER = "if_better"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class PromotionRule:
    """The promotion that a job asks for, and whether those who asked may move an alias."""

    promote: Promote = Promote.IF_BETTER
    min_gain: float = 0.0  # in the units of the metric
    breaking: bool = False  # another contract than the champion's is wanted
    is_allowed: bool = True


MOVE = PromotionRule(Promote.ALWAYS, breaking=True)


@dataclass(frozen=True, slots=True)
class Rival:
    """The version that `champion` points at, as another process needs it."""

    version: int
    files: Mapping[str, Document]  # by name: "sha256", "bytes" and "path"
    signature: Document
    lineage: Document


@dataclass(frozen=True, slots=True)
class ComparisonSpec:
    """Two versions of a model to compare on the test rows of the newer one."""

    model: str
    version: int
    data: DataRef
    objective: Objective
    files: Mapping[str, Document]
    signature: Document
    champion: Rival


@dataclass(frozen=True, slots=True)
class Comparison:
    """A version beside the champion; JSON throughout.

    Scores are of rows that neither learned from. They are None where the two were not compared;
    `trouble` says why, in a sentence.
    """

    champion: int | None  # version that the alias pointed at; None for none
    differs: tuple[str, ...] = ()  # parts of the contract that are not the champion's
    rows: int | None = None
    metric: str | None = None
    score: float | None = None
    interval: list[float] | None = None  # 95 %
    champion_score: float | None = None
    champion_interval: list[float] | None = None
    difference: float | None = None  # above 0 if the version is better
    difference_interval: list[float] | None = None
    trouble: str | None = None


class ChampionMoved(Conflict):
    """The alias does not point at the version that a new one was compared with."""


def contract_differences(signature: Document, champion: Document) -> tuple[str, ...]:
    """Name the parts of two signatures that differ, of `task`, `target`, `classes` and `inputs`.

    Inputs differ by name, order, type or shape, and by a spelling that other cells follow.
    """
    parts = [name for name in ("task", "target", "classes") if signature[name] != champion[name]]
    if _inputs(signature) != _inputs(champion):
        parts.append("inputs")
    return tuple(parts)


def _inputs(signature: Document) -> list[Any]:
    return [
        [column["name"], column["type"], column.get("shape"), _cells(column.get("spelling", {}))]
        for column in signature["columns"]
    ]


def _cells(spelling: Mapping[str, Any]) -> list[Any]:
    words = spelling.get("words")
    return [*(spelling.get(name) for name in _CELLS[:-1]), words and list(words)]


def judge(
    rule: PromotionRule,
    found: Comparison,
    *,
    is_first: bool,
    auto_promote: bool,
    is_shared: bool = False,
) -> Document:
    """Return the verdict on a new version, which `VersionRecord.promotion` describes.

    `auto_promote` says that the model's champion may be replaced by whoever may tune, if a version
    is better. `is_shared` says that several versions share the requests to the champion: only a
    job that asks for it by `always` ends that.
    """
    better = is_better(found, rule.min_gain)
    promoted, reason = _decide(rule, found, better, is_first, auto_promote)
    if promoted and is_shared and rule.promote is Promote.IF_BETTER:
        promoted, reason = False, f"{reason} But {_SHARED}"
    return {
        "promoted": promoted,
        "reason": reason,
        "promote": str(rule.promote),
        "min_gain": rule.min_gain,
        "breaking": rule.breaking,
        "better": better,
        **asdict(found),
        "differs": list(found.differs),
    }


def judge_import(champion: int | None, *, is_first: bool) -> Document:
    """Return the verdict on an imported version: without evidence, only a first one is promoted."""
    rule = PromotionRule(Promote.NEVER)
    found = Comparison(champion, trouble=_IMPORTED)
    verdict = judge(rule, found, is_first=is_first, auto_promote=False)
    return verdict if is_first else verdict | {"reason": _IMPORTED}


def is_better(found: Comparison, min_gain: float) -> bool | str | None:
    """Return whether a version is better than the champion by more than `min_gain` and noise.

    It is "undecided" while the 95 % interval of the difference reaches from at most `min_gain` to
    at least 0, and None where the two were not compared.
    """
    if found.difference is None:
        return None
    if found.difference_interval is None:
        return UNDECIDED
    low, high = found.difference_interval
    if low > min_gain:
        return True
    return False if high < 0 else UNDECIDED


def _decide(
    rule: PromotionRule,
    found: Comparison,
    better: bool | str | None,
    is_first: bool,
    auto_promote: bool,
) -> tuple[bool, str]:
    if is_first:
        return True, _FIRST
    told = _NO_CHAMPION if found.champion is None else _sentence(found, better, rule.min_gain)
    if rule.promote is Promote.NEVER:
        return False, f"The job asked to keep the champion. {told}"
    if found.differs and not rule.breaking:
        return False, (
            f"{_listed(found.differs)} from the champion, version {found.champion}, whose clients"
            " it would break; only `breaking: true` promotes such a version."
        )
    if rule.promote is Promote.IF_BETTER and found.champion is not None and better is not True:
        return False, told
    is_open = auto_promote and rule.promote is Promote.IF_BETTER and not rule.breaking
    if not (rule.is_allowed or is_open):
        return False, (
            f"{told} But it is not allowed: the key of the job lacks the scope `promote`, and"
            " `auto_promote` of the model does not let it move `champion`."
        )
    if rule.promote is Promote.ALWAYS:
        told = f"The job asked for it. {told}"
    return True, told


def _listed(differs: tuple[str, ...]) -> str:
    names = " and ".join(filter(None, (", ".join(differs[:-1]), differs[-1])))
    is_one = len(differs) == 1 and differs[0] in ("task", "target")
    return f"Its {names} {'differs' if is_one else 'differ'}"


def _sentence(found: Comparison, better: bool | str | None, min_gain: float) -> str:
    champion = f"the champion, version {found.champion}"
    if found.difference is None or found.score is None or found.champion_score is None:
        return f"It cannot be compared with {champion}: {found.trouble}"
    if better is True:
        claim = f"It is better than {champion}, by more than noise"
    elif better is False:
        claim = f"It is worse than {champion}"
    else:
        claim = f"It is not better than {champion} by more than noise"
    gain = f" and the {_figure(min_gain)} of `min_gain`" if min_gain and better is not False else ""
    bounds = found.difference_interval
    shown = "none" if bounds is None else f"{_figure(bounds[0])} to {_figure(bounds[1])}"
    return (
        f"{claim}{gain}: {found.metric} {_figure(found.score)} against"
        f" {_figure(found.champion_score)} on {found.rows:,} rows that neither learned from"
        f" (95 % interval of the gain: {shown})."
    )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e9 else f"{value:.4g}"
