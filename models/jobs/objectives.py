"""Objectives and constraints of a request, decided against its data."""

from collections.abc import Sequence
from dataclasses import replace

from models.data.preparation.tasks import Task
from models.data.preparation.weighting import listed_labels
from models.errors import Invalid
from models.jobs.spec import JobSpec
from models.oracles.strategy import Strategy
from models.trials.spec import Constraint, Objective, resolve_metric, resolve_objective

_FOLLOW_ONE = ("bayesian", "hyperband")  # strategies that learn from one score


def resolve_objectives(
    request: JobSpec, task: Task, labels: Sequence[str], rarer: str | None
) -> JobSpec:
    """Return the request with its objectives and constraints decided.

    `labels` are the classes by `label_name`, none for a regression, and `rarer` is the one of two
    classes with fewer rows. Raises Invalid at the field.
    """
    objectives = [
        _objective(asked, task, labels, path)
        for path, asked in zip(_paths(request), request.objectives, strict=True)
    ]
    _check_several(request, objectives)
    positive = _counted_class(request, objectives)
    if task is Task.BINARY and positive is None and request.narrow_from is None:
        positive = rarer
    if request.threshold is not None and task is not Task.BINARY:
        raise Invalid.at("threshold", f"A {task} task has none; two classes have.")
    first, *others = (replace(each, positive_class=positive) for each in objectives)
    return replace(
        request,
        objective=first,
        other_objectives=tuple(others),
        constraints=_constraints(request.constraints, task),
    )


def check_objectives(spec: JobSpec) -> None:
    """Raise Invalid for a metric that the task of a decided spec does not have."""
    for path, each in zip(_paths(spec), spec.objectives, strict=True):
        resolve_objective(spec.task, each.metric, each.direction, path=path)
    _constraints(spec.constraints, spec.task)


def check_several_objectives(strategy: Strategy, spec: JobSpec) -> None:
    """Raise Invalid where a strategy, or pruning, cannot follow several objectives."""
    if not spec.other_objectives:
        return
    if strategy.name in _FOLLOW_ONE:
        raise Invalid.at(
            "strategy",
            f"{strategy.name} learns from one score. With several objectives use tpe, random,"
            " grid or manual.",
        )
    if spec.pruning is not None:
        raise Invalid.at(
            "pruning",
            "A trial that looks weak by one objective may be on the front by another; leave out"
            " `pruning` or give one objective.",
        )


def _paths(spec: JobSpec) -> list[str]:
    if not spec.other_objectives:
        return ["objective"]
    return [f"objective.{place}" for place in range(len(spec.objectives))]


def _objective(asked: Objective, task: Task, labels: Sequence[str], path: str) -> Objective:
    positive = asked.positive_class
    if positive is not None and positive not in labels:
        reason = (
            "A regression has no classes."
            if task is Task.REGRESSION
            else f"There is no class {positive!r}; the classes are {listed_labels(labels)}."
        )
        raise Invalid.at(f"{path}.positive_class", reason)
    return resolve_objective(task, asked.metric, asked.direction, positive, path)


def _check_several(request: JobSpec, objectives: Sequence[Objective]) -> None:
    names = [each.metric for each in objectives]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise Invalid.at(f"objective.{place}.metric", f"{name!r} is named twice.")
    check_several_objectives(request.strategy, request)


def _counted_class(request: JobSpec, objectives: Sequence[Objective]) -> str | None:
    """Return the class that a request names; its objectives count the same one."""
    named = {each.positive_class for each in objectives} - {None}
    if len(named) > 1:
        raise Invalid.at("objective", "All metrics of a job count the same positive_class.")
    return named.pop() if named else None


def _constraints(asked: Sequence[Constraint], task: Task) -> tuple[Constraint, ...]:
    found: dict[str, Constraint] = {}
    for each in asked:
        path = f"constraints.{each.metric}"
        name = resolve_metric(task, each.metric, path)
        if name in found:
            raise Invalid.at(path, f"{name!r} is named twice.")
        found[name] = replace(each, metric=name)
    return tuple(found.values())
