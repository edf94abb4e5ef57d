"""A new version beside the champion, on test rows that neither of them learned from.

The rows are the test rows of the new version, less those that the champion may have learned from.
Where it comes from the same dataset, these are all but the rows that its held_out.json lists.
Otherwise they are those that equal such a row in every column that the champion takes and in the
target.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from models.data.columns import ColumnType
from models.data.dataset import Dataset
from models.data.encoding.preprocessing import TargetEncoder
from models.data.library.storage import read_dataset
from models.data.preparation.parts import Rows
from models.data.preparation.weighting import label_name
from models.errors import ArtifactError, LuthierError, Unavailable
from models.registry.catalog.catalog import artifact_folder
from models.registry.catalog.promotion import (
    MIN_ROWS,
    Comparison,
    ComparisonSpec,
    Rival,
    contract_differences,
)
from models.registry.documents import Document
from models.registry.evidence.comparison import measured_by
from models.registry.evidence.intervals import (
    Resamples,
    Scoring,
    group_numbers,
    interval_of,
    rounded,
)
from models.registry.onnx.model import OnnxAnswers
from models.store.artifacts import Artifacts
from models.trials.data import load

_GRAPH, _PREPARED, _HELD_OUT = "model.onnx", "preprocessing.json", "held_out.json"

Array = np.ndarray[Any, Any]

log = logging.getLogger(__name__)


class NotComparable(LuthierError):
    """Nothing can be said about two versions; the text says why, in a sentence."""


def compare_with_champion(spec: ComparisonSpec) -> Comparison:
    """Score a written version and the champion on the same rows, by paired resamples.

    Whatever keeps the two from being compared is the `trouble` of the result, except for storage
    that does not answer: Unavailable is raised.
    """
    differs = contract_differences(spec.signature, spec.champion.signature)
    found = Comparison(spec.champion.version, differs)
    try:
        return _compare(spec, found)
    except Unavailable:
        raise
    except NotComparable as error:
        return replace(found, trouble=str(error))
    except Exception as error:
        # Its files may be of any earlier version, and a version must not fail by those of another.
        log.warning("version %s of %s cannot be compared: %s", spec.version, spec.model, error)
        return replace(found, trouble=f"The champion cannot be run: {error}")


def _compare(spec: ComparisonSpec, found: Comparison) -> Comparison:
    answered = [name for name in found.differs if name != "inputs"]
    if answered:
        raise NotComparable(f"The two differ in {', '.join(answered)}.")
    data, artifacts = load(spec.data), Artifacts(spec.data.artifacts_root)
    dataset, rows = data.test_part()
    columns = [column["name"] for column in spec.champion.signature["columns"]]
    _check_columns(dataset, spec.champion.signature)
    identity = spec.data.evaluation.test_dataset or spec.data.dataset
    held_out = len(rows)
    names = [*columns, spec.data.target]  # the target is the last
    rows = rows[~_learned(spec.champion, spec.model, artifacts, identity, dataset, rows, names)]
    if len(rows) < MIN_ROWS:
        raise NotComparable(
            f"Of the {held_out:,} test rows, {len(rows):,} are new to the champion, and"
            f" {MIN_ROWS} are needed. Hold more rows out, and split by the same `evaluation.seed`."
        )
    target = json.loads(_content(artifacts, spec.model, spec.version, spec.files, _PREPARED))
    encoder = TargetEncoder.from_json(target["target"])
    named = spec.data.positive_class
    positive = None if named is None else list(map(label_name, encoder.classes)).index(named)
    scoring = Scoring(encoder, positive)
    groups = group_numbers(dataset, rows, spec.data.evaluation.group)
    draws = Resamples.draw(len(rows), spec.data.seed, groups)
    sides = (
        (spec.version, spec.files, [column["name"] for column in spec.signature["columns"]]),
        (spec.champion.version, spec.champion.files, columns),
    )
    answers = [
        OnnxAnswers.load(_content(artifacts, spec.model, version, files, _GRAPH))(
            dataset, rows, features
        )
        for version, files, features in sides
    ]
    truth = scoring.truth(dataset.values[spec.data.target][rows])
    objective = measured_by(spec.data.task, spec.objective)
    name = objective.metric
    score, champion = (scoring.metrics(truth, each)[name] for each in answers)
    if score is None or champion is None:
        whose = "its own" if score is None else "the champion's"
        raise NotComparable(f"The {name} of {whose} answers is undefined on {len(rows):,} rows.")
    drawn = [scoring.resampled(truth, each, draws, [name])[name] for each in answers]
    sign = 1 if objective.is_minimized else -1
    has_interval = draws.units > 1
    own, other, gain = (
        interval_of(each) if has_interval else None
        for each in (*drawn, sign * (drawn[1] - drawn[0]))
    )
    return replace(
        found,
        rows=len(rows),
        metric=name,
        score=rounded(score),
        interval=own,
        champion_score=rounded(champion),
        champion_interval=other,
        difference=rounded(sign * (champion - score)),
        difference_interval=gain,
    )


def _content(
    artifacts: Artifacts, model: str, version: int, files: Mapping[str, Document], name: str
) -> bytes:
    """Read a file of a version, as it was registered."""
    entry = files[name]
    path = f"{artifact_folder(model, version)}/{entry.get('path', name)}"
    return artifacts.read_checked(path, entry["sha256"])


def _check_columns(dataset: Dataset, signature: Document) -> None:
    """Raise NotComparable unless the dataset has what the champion takes."""
    types = {column.name: column for column in dataset.columns}
    for column in signature["columns"]:
        held = types.get(column["name"])
        shape = tuple(column.get("shape", ()))
        if held is None or held.type != column["type"] or held.shape != shape:
            raise NotComparable(
                f"The champion takes the {column['type']} {column['name']!r}, which the test rows"
                " do not have."
            )


def _learned(
    champion: Rival,
    model: str,
    artifacts: Artifacts,
    identity: str,
    dataset: Dataset,
    rows: Rows,
    names: Sequence[str],
) -> Array:
    """Say of each of `rows`, (rows,) bool, whether the champion may have learned from it."""
    own, validation = (champion.lineage.get(name) for name in ("dataset", "validation_dataset"))
    if own is None:
        raise NotComparable("The champion does not say which rows it learned from.")
    unseen = _unseen(champion, model, artifacts)
    known = np.zeros(len(rows), dtype=np.bool_)
    for each in filter(None, (own, validation)):
        kept = unseen if each == own else np.empty(0, dtype=np.int64)
        if each == identity:
            known |= ~np.isin(rows, kept)
            continue
        try:
            other = read_dataset(artifacts, each)
        except ArtifactError:
            raise NotComparable(
                f"The champion's dataset {each} is gone, so nobody knows which rows are new to it."
            ) from None
        target = names[-1]
        if other.column(target).type != dataset.column(target).type:
            raise NotComparable(f"The target {target!r} has another type in dataset {each}.")
        seen = np.setdiff1d(np.arange(other.rows), kept)
        known |= np.isin(_digests(dataset, rows, names), _digests(other, seen, names))
    return known


def _unseen(champion: Rival, model: str, artifacts: Artifacts) -> Rows:
    """Return the rows of its own dataset that the champion was tested on, as it lists them."""
    if _HELD_OUT not in champion.files:
        return np.empty(0, dtype=np.int64)
    content = _content(artifacts, model, champion.version, champion.files, _HELD_OUT)
    document = json.loads(content)
    listed = [] if document.get("test_dataset") else document["row_numbers"]
    return np.array(listed, dtype=np.int64)


def _digests(dataset: Dataset, rows: Rows, names: Sequence[str]) -> Array:
    """Return a hash of the cells of each row, (rows,) uint64: equal rows have equal ones."""
    import pandas as pd

    cells = {}
    for place, name in enumerate(names):
        values = dataset.values[name][rows]
        if dataset.column(name).type is ColumnType.IMAGE:
            values = np.array([image.tobytes() for image in values], dtype=object)
        elif values.dtype != object:
            values = np.where(np.isnan(values), np.nan, values + 0.0)
        cells[place] = values
    hashed: Array = pd.util.hash_pandas_object(pd.DataFrame(cells), index=False).to_numpy()
    return hashed
