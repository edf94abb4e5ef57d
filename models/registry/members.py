"""The networks that a version is made of: kept from the search, or trained again."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np

from models.data.dataset import Dataset
from models.data.encoding.choice import Encoding
from models.data.preparation.parts import Rows
from models.networks import families
from models.networks.averaging import Averaged, average
from models.registry.documents import Document
from models.registry.ensemble import Choice, choose_members
from models.registry.evidence.baselines import Part
from models.registry.evidence.document import Training
from models.registry.export import Candidate, ExportSpec, RefitError
from models.registry.onnx.latency import measure_latency
from models.store.artifacts import Artifacts
from models.trials.data import LoadedData, PreparedFold, encoding_of, load, prepare, prepare_fold
from models.trials.monitor import monitored_loss
from models.trials.run import load_weights, train_if_missing
from models.trials.spec import DataRef, RunReport
from models.trials.trainers.base import Run, RunResult, Weights
from models.trials.trainers.choice import choose_trainer


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One network of a version."""

    candidate: Candidate
    weights: Weights
    fold: PreparedFold  # the rows that it learned from, in the encoding of its trial
    share: float  # of the answer; those of all members add up to 1
    epochs: int  # after which its weights were taken
    run: RunReport | None = None  # of the search; None if it was trained again


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """The members of a version, the rows that they learned from, and why they were chosen."""

    listed: Sequence[Member]
    learned: Part  # the rows that they were trained on, and the dataset that holds them
    choice: Choice
    # The runs of the search whose answers are averaged as those of the members, and their shares.
    sources: Sequence[tuple[RunReport, float]]
    seconds: float  # of the search's training of all members' trials and of the refit

    @property
    def folds(self) -> list[PreparedFold]:
        """One for each encoding of the members, in the order of the network's inputs."""
        return list(dict.fromkeys(member.fold for member in self.listed))

    @property
    def is_of_seeds(self) -> bool:
        """Whether it averages trainings of one trial that the search did not have."""
        again = [member for member in self.listed if member.run is None]
        return len(again) > 1 and len({id(member.candidate) for member in again}) == 1

    def network(self) -> keras.Model:
        """Create the network that answers the weighted mean of the members."""
        folds = self.folds
        return average([Averaged(_network(m), m.share, folds.index(m.fold)) for m in self.listed])

    def training(self) -> Training:
        """Return the origin of the weights; the epochs are those of the first member."""
        first = self.listed[0]
        only = first.run if len(self.listed) == 1 else None
        return Training(
            refit=first.run is None,
            execution=None if only is None else only.execution,
            score=None if only is None else only.score,
            rows=len(first.fold.training_truth),
            epochs=first.epochs,
            seconds=self.seconds,
            class_weights=first.fold.class_factors,
        )

    def ensemble(self) -> Document | None:
        """Return the members by trial, and the scores that chose them; None for one network."""
        if len(self.listed) == 1:
            return None
        listed: dict[int, Document] = {}
        for member in self.listed:
            trial, result = member.candidate.trial, member.candidate.result
            entry = listed.setdefault(
                trial.number,
                {"trial": trial.number, "score": result.score, "weight": 0.0, "networks": 0},
            )
            entry["weight"] += member.share
            entry["networks"] += 1
        return {"members": list(listed.values()), **self.choice.document()}


def build_members(spec: ExportSpec) -> tuple[Members, LoadedData]:
    """Return the members of a version, and the rows of its job.

    Raises RefitError if training again fails.
    """
    data = load(spec.trial.data)
    refit = spec.refit or len(data.split.folds) > 1
    return (_refit(spec, data) if refit else _keep(spec, data)), data


def _choose(spec: ExportSpec) -> tuple[list[Candidate], Choice]:
    candidates = [Candidate(spec.trial, spec.result), *spec.others]
    artifacts = Artifacts(spec.trial.data.artifacts_root)
    encoding = encoding_of(spec.trial.values)
    folds = prepare(spec.trial.data, encoding).folds if spec.others and spec.picks > 1 else ()
    return candidates, choose_members(candidates, folds, artifacts, spec.picks)


def _keep(spec: ExportSpec, data: LoadedData) -> Members:
    """Take the networks that the search has trained.

    Several picks serve all executions of a trial, one the best of them.
    """
    spec = _with_weights(spec)
    candidates, choice = _choose(spec)
    artifacts = Artifacts(spec.trial.data.artifacts_root)
    rows = data.split.folds[0].train
    fold_of = _Folds(data, spec.trial.data, rows)
    members: list[Member] = []
    for place, count in Counter(choice.picks).items():
        candidate = candidates[place]
        runs = candidate.result.folds if spec.picks > 1 else (_best_run(candidate),)
        share = count / len(choice.picks) / len(runs)
        fold = fold_of(candidate)
        for run in runs:
            weights = load_weights(artifacts, run.weights)
            members.append(Member(candidate, weights, fold, share, run.best_epoch, run))
    return Members(
        members,
        (data.dataset, rows),
        choice,
        [(member.run, member.share) for member in members if member.run is not None],
        sum(candidates[place].result.seconds for place in set(choice.picks)),
    )


def _with_weights(spec: ExportSpec) -> ExportSpec:
    """Train the trial again if its weights are gone; its scores stay those that chose it."""
    again = train_if_missing(spec.trial, spec.result, measure_latency)
    if again is None:
        return spec
    if again.failure is not None:
        raise RefitError(
            f"Its weights are gone, and trained again, trial {spec.trial.number} failed: "
            f"{again.failure.message}"
        )
    return replace(spec, result=replace(spec.result, seconds=again.seconds))


def _best_run(candidate: Candidate) -> RunReport:
    """Return the run that is served: the best of those that keep the constraints best."""
    trial = candidate.trial

    def order(run: RunReport) -> tuple[float, float]:
        violation = sum(each.excess(run.metrics.get(each.metric)) for each in trial.constraints)
        return violation, trial.objective.loss(run.score)

    return min(candidate.result.folds, key=order)


def _refit(spec: ExportSpec, data: LoadedData) -> Members:
    """Train the members on every row but the test rows, each as long as its trial's best took.

    Preprocessing is fitted on the same rows. No row is left to validate on, so the weights are
    those of the epoch with the least loss on the training rows, each counted by the weight of its
    class. Where no ensemble of trials is better, the best one alone is trained from several seeds.
    A member that diverges is left out; raises RefitError if all do.
    """
    candidates, choice = _choose(spec)
    picks = choice.picks if len(choice.picks) > 1 else choice.picks * spec.picks
    joined, rows = _join_validation(data, spec.trial.data)
    fold_of = _Folds(joined, spec.trial.data, rows)
    trained = [
        (candidates[place], _train_member(candidates[place], fold_of(candidates[place]), number))
        for number, place in enumerate(picks)
    ]
    sound = [(candidate, result) for candidate, result in trained if not result.diverged]
    if not sound:
        raise RefitError(
            "Trained on training and validation rows together, trial"
            f" {spec.trial.number} diverged in epoch {trained[0][1].epochs}."
        )
    members = [
        Member(candidate, result.weights, fold_of(candidate), 1 / len(sound), result.best_epoch)
        for candidate, result in sound
    ]
    seconds = sum(candidates[place].result.seconds for place in set(picks))
    learned = (joined.dataset, rows)
    seconds += sum(result.seconds for _, result in trained)
    sources = [(run, 1.0) for candidate, _ in sound for run in candidate.result.folds]
    return Members(members, learned, choice, sources, seconds)


class _Folds:
    """Some rows of a dataset to learn from, in the encoding of each candidate; made once each."""

    def __init__(self, data: LoadedData, ref: DataRef, rows: Rows) -> None:
        self._data, self._ref, self._rows = data, ref, rows
        self._made: dict[Encoding, PreparedFold] = {}

    def __call__(self, candidate: Candidate) -> PreparedFold:
        """Return the rows as the candidate's network takes them."""
        encoding = encoding_of(candidate.trial.values)
        if encoding not in self._made:
            fold = prepare_fold(self._data, self._ref, self._rows, encoding=encoding)
            self._made[encoding] = fold
        return self._made[encoding]


def _train_member(candidate: Candidate, fold: PreparedFold, number: int) -> RunResult:
    """Train a trial's values on the rows of `fold`; each member `number` has its own seed."""
    trial = candidate.trial
    seed = trial.seed if number == 0 else _member_seed(trial.seed, number)
    run = Run(
        fold=0,
        execution=0,
        seed=seed,
        network=trial.network,
        values=trial.values,
        epochs=max(1, candidate.result.best_epoch or 0),
        schedule_epochs=trial.epochs,
        monitor=monitored_loss(trial.data.class_weight),
    )
    trainer = choose_trainer(trial.network, trial.values, fold.training)
    return trainer.train([run], [fold.training])[0]


def _member_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0]) >> 2


def _join_validation(data: LoadedData, ref: DataRef) -> tuple[LoadedData, Rows]:
    """Append a validation dataset to the training dataset; return it with the rows to train on."""
    rows = data.split.training
    other = data.validation_dataset
    if other is None:
        return data, rows
    names = [*data.features, ref.target]
    if ref.sample_weight is not None:
        names.append(ref.sample_weight)
    both = Dataset(
        tuple(data.dataset.column(name) for name in names),
        {name: np.concatenate([data.dataset.values[name], other.values[name]]) for name in names},
    )
    added = data.dataset.rows + data.rows_of(other)
    return replace(data, dataset=both, validation_dataset=None), np.concatenate([rows, added])


def _network(member: Member) -> keras.Model:
    """Create the network without an optimizer, whose state would make its file thrice as large.

    That state belongs to a training that is over; whoever trains `model.keras` on compiles it.
    """
    trial, data = member.candidate.trial, member.fold.training
    network = families.create(trial.network, trial.values, data.inputs, data.outputs, trial.seed)
    network.set_weights(list(member.weights))
    return network
