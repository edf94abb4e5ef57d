"""The aims of a request, decided against its data: objectives, constraints, the class they count."""

from collections.abc import Sequence
from dataclasses import replace

from models.data.preparation.tasks import Task
from models.data.preparation.weighting import listed_labels
from models.errors import Invalid
from models.jobs.spec import JobSpec
from models.trials.spec import Objective, resolve_objective


def resolve_aims(
    request: JobSpec, task: Task, labels: Sequence[str], rarer: str | None
) -> JobSpec:
    """Return the request with its objective decided.

    `labels` are the classes by `label_name`, none for a regression, and `rarer` is the one of two
    classes with fewer rows. Raises Invalid at the field.
    """
    objective = _resolve(request.objective, task, labels, "objective")
    # What a job of an earlier version counted, a job that narrows it counts, too.
    is_inherited = request.narrow_from is not None and "objective" not in request.named
    if task is Task.BINARY and objective.positive_class is None and not is_inherited:
        objective = replace(objective, positive_class=rarer)
    return replace(request, objective=objective)


def _resolve(asked: Objective, task: Task, labels: Sequence[str], path: str) -> Objective:
    positive = asked.positive_class
    if positive is not None and positive not in labels:
        reason = (
            "A regression has no classes."
            if task is Task.REGRESSION
            else f"There is no class {positive!r}; the classes are {listed_labels(labels)}."
        )
        raise Invalid.at(f"{path}.positive_class", reason)
    return resolve_objective(task, asked.metric, asked.direction, positive, path)
