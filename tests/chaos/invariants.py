"""What must hold after every round, whatever happened in it."""

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from click.testing import CliRunner

from luthier.cli import COMMANDS, main
from luthier.client import FINAL_STATES
from models.serving.signature import Signature
from tests.chaos.calls import Calls, NoAnswer
from tests.chaos.plan import ENQUEUED, LEARNING, RAISABLE, RAISED_BY, ROWS, RoundPlan
from tests.chaos.reference import Expected, Reference, alone, key_of, result_of
from tests.chaos.service.deployment import Deployment
from tests.chaos.service.faults import Faults
from tests.chaos.users import Asked
from tests.chaos.watch import TRIAL_ENDED, WatchedJob, trials_of

COLUMNS = {
    "final": "every job ended, in success or with a reason that a fault explains",
    "budget": "each planned trial ended once",
    "unchanged": "no ended trial changed",
    "equal": "values and scores are those of the run without faults",
    "lost": "a trial is `lost` only where something died",
    "failed": "no trial failed otherwise, unless a file was damaged",
    "answers": "no 5xx but 503 and 507 with a reason; no broken connection while every API lives",
    "version": "the winner predicts, as its ONNX file does",
    "orphans": "no process is left without its parent",
    "exits": "no process ended by itself",
    "files": "no file that no row names",
    "rows": "no row whose file is missing or changed",
    "temporary": "no temporary file of a dead process",
    "events": "ids increase; each ended trial has one final event",
}
_SETTLED_WITHIN = 60.0  # seconds until nothing is left of what was killed
_EVERY = 0.2  # seconds
_CLOSE = 1e-6  # between a prediction and its ONNX graph


@dataclass
class Found:
    """All that is known of a round when its jobs are over."""

    plan: RoundPlan
    deployment: Deployment
    calls: Calls
    faults: Faults
    jobs: list[WatchedJob]
    asked: list[Asked]
    reference: Reference

    def check(self, errors: list[str]) -> dict[str, list[str]]:
        """Return the breaches by column; `errors` are those that kept the round from its end."""
        found: dict[str, list[str]] = {column: [] for column in COLUMNS}
        found["final"] += errors
        for index, job in enumerate(self.jobs):
            try:
                self._check_job(index, job, found)
            except NoAnswer as error:
                found["answers"].append(str(error))
            found["unchanged"] += job.changed
        self._check_service(found)
        found["answers"] += self.calls.faults
        if not self.faults.api_faults:
            found["answers"] += self.calls.unanswered
        return found

    def _check_job(self, index: int, job: WatchedJob, found: dict[str, list[str]]) -> None:
        asked = self.asked[index]
        if asked.dataset_was_deleted:
            found["final"].append(f"the dataset of {job.id} could be deleted while it ran")
        answer = self.calls.until_answered("GET", f"/tune/{job.id}")
        if answer.status_code == 404 and asked.deleted:
            return
        if not answer.is_success:
            found["final"].append(f"GET /tune/{job.id}: {answer.status_code} {answer.text[:300]}")
            return
        document = answer.json()
        trials = trials_of(self.calls, job.id)
        job.compare(trials)
        found["final"] += self._state(document, trials, asked)
        if document["state"] not in FINAL_STATES:
            return  # its stream of events would not end
        found["budget"] += self._budget(index, document, trials)
        found["equal"] += self._equal(index, trials)
        found["lost"] += self._lost(trials)
        found["failed"] += self._failed(trials)
        found["events"] += self._events(document, trials)
        if document["state"] == "succeeded":
            found["version"] += self._version(index, document)

    def _state(self, job: dict[str, Any], trials: list[dict[str, Any]], asked: Asked) -> list[str]:
        state, error = job["state"], job["error"]
        about = f"{job['id']} is {state}: {error}"
        if state not in FINAL_STATES:
            return [f"{about} {job['progress']}"]
        open_trials = [each["number"] for each in trials if each["state"] in ("waiting", "running")]
        if open_trials:
            return [f"{about}, but its trials {open_trials} are open"]
        if state == "succeeded" or (state == "cancelled" and asked.cancelled):
            return []
        if state == "failed" and asked.finished and "ended by finish" in str(error):
            return []  # before any trial had an epoch
        explained = self.plan.corrupts and bool(self.faults.done)
        # Two deaths over one trial make it lost, and a job may have no other.
        explained |= self.faults.deaths >= 2 and "lost" in str(error)
        if state == "failed" and explained and error and "Internal error" not in error:
            return []
        return [about]

    def _budget(self, index: int, job: dict[str, Any], trials: list[dict[str, Any]]) -> list[str]:
        """Every trial that was planned ended, and nothing was planned that nobody asked for."""
        asked, progress, name = self.asked[index], job["progress"], job["id"]
        if job["state"] != "succeeded" or asked.finished:
            return []
        states = Counter(trial["state"] for trial in trials)
        ended = sum(states[state] for state in TRIAL_ENDED)
        wrong = []
        if ended != progress["total"] or len(trials) != ended:
            wrong.append(f"{name} planned {progress['total']} trials; {dict(states)}")
        if states["failed"] and self.plan.jobs[index].strategy in LEARNING:
            return wrong  # Hyperband plans anew without the trials that have no score
        own = len(self._expected(index).proposals)
        least = own - (RAISED_BY if self._is_raisable(index) and not asked.raised else 0)
        least += asked.enqueued
        if not least <= progress["total"] <= least + asked.maybe_enqueued:
            wrong.append(f"{name} planned {progress['total']} trials, not {least}")
        return wrong

    def _equal(self, index: int, trials: list[dict[str, Any]]) -> list[str]:
        """Compare with the reference what does not depend on the order of results.

        Also where files were damaged: a trial may fail then, but must not be wrong.
        """
        job, expected = self.plan.jobs[index], self._expected(index)
        wrong = []
        for trial in trials:
            known = expected.results.get(key_of(trial))
            if trial["state"] != "completed" or known is None:
                continue
            if result_of(trial) != known:
                wrong.append(f"trial {trial['number']}: {result_of(trial)}, not {known}")
        has_failed = any(trial["state"] == "failed" for trial in trials)
        asked = self.asked[index]
        depends = job.parallelism > 1 or asked.enqueued or asked.maybe_enqueued or has_failed
        depends = depends or asked.finished
        if job.strategy in LEARNING and depends:
            return wrong
        proposed = [key_of(trial) for trial in trials if not _is_enqueued(trial)]
        if proposed != list(expected.proposals[: len(proposed)]):
            wrong.append(f"proposed {proposed}, not {expected.proposals}")
        return wrong

    def _lost(self, trials: list[dict[str, Any]]) -> list[str]:
        if self.faults.deaths:
            return []
        return [
            f"trial {trial['number']} is lost, but nothing died: {trial['failure']}"
            for trial in trials
            if (trial["failure"] or {}).get("kind") == "lost"
        ]

    def _failed(self, trials: list[dict[str, Any]]) -> list[str]:
        if self.plan.corrupts:
            return []
        return [
            f"trial {trial['number']} failed: {trial['failure']}"
            for trial in trials
            if trial["failure"] is not None and trial["failure"]["kind"] != "lost"
        ]

    def _events(self, job: dict[str, Any], trials: list[dict[str, Any]]) -> list[str]:
        answer = self.calls.until_answered("GET", f"/tune/{job['id']}/events")
        lines = answer.text.splitlines()
        ids = [int(line.removeprefix("id: ")) for line in lines if line.startswith("id: ")]
        data = [json.loads(line.removeprefix("data: ")) for line in lines if line[:6] == "data: "]
        wrong = []
        if ids != sorted(set(ids)):
            wrong.append(f"{job['id']}: ids of events do not increase")
        final = Counter(
            event["trial"] for event in data if "trial" in event and _ended(event.get("state"))
        )
        for trial in trials:
            if _ended(trial["state"]) and final[trial["number"]] != 1:
                text = f"trial {trial['number']} has {final[trial['number']]} final events"
                wrong.append(f"{job['id']}: {text}")
        return wrong

    def _version(self, index: int, job: dict[str, Any]) -> list[str]:
        """Predict with the job's version, its ONNX file, and compare with the reference."""
        model, version = job["model"], job["version"]
        body = {"model": model, "version": version, "instances": ROWS}
        answer = self.calls.until_answered("POST", "/predict", json=body)
        if not answer.is_success:
            return [] if self.plan.corrupts else [f"{model} {version}: {answer.text[:300]}"]
        predicted = answer.json()["predictions"]
        known = self._expected(index)
        best = job["best_trial"]
        is_same = best["state"] == "completed" and key_of(best) == known.winner
        if is_same and not _are_close(predicted, known.predictions):
            return [f"{model} {version} predicts {predicted}, without faults {known.predictions}"]
        files = f"/models/{model}/versions/{version}/artifacts"
        graph = self.calls.until_answered("GET", f"{files}/model.onnx")
        signature = self.calls.until_answered("GET", f"{files}/signature.json")
        if not (graph.is_success and signature.is_success):
            return [] if self.plan.corrupts else [f"{model} {version}: its files are not served"]
        session = onnxruntime.InferenceSession(graph.content, providers=["CPUExecutionProvider"])
        inputs = session.get_inputs()
        cells = Signature.from_json(signature.json()).feed(ROWS)
        feed = {item.name: cells[item.name].reshape([-1, *item.shape[1:]]) for item in inputs}
        (expected, *_) = session.run(None, feed)
        if not _are_close(predicted, np.asarray(expected)[:, 0]):
            return [f"{model} {version} predicts {predicted}, its ONNX file {expected}"]
        return []

    def _check_service(self, found: dict[str, list[str]]) -> None:
        deployment = self.deployment
        deployment.end_orphans(_SETTLED_WITHIN)
        found["orphans"] += deployment.orphans
        found["exits"] += [*deployment.exits, *deployment.ended_workers()]
        found["temporary"] += _settled(lambda: deployment.temporary_files(only_of_dead=True))
        if self.plan.corrupts:
            return
        settings = deployment.settings
        variables = {
            "LUTHIER_DATA": str(settings.data),
            "LUTHIER_DATABASE_URL": settings.resolved_database_url,
            "LUTHIER_ARTIFACTS": settings.resolved_artifacts,
        }
        found["files"] += _settled(
            lambda: [
                entry["name"]
                for entry in _listed("gc", variables, "files", "--dry-run", "--older-than", "0")
            ]
        )
        found["rows"] += _settled(
            lambda: [json.dumps(entry) for entry in _listed("fsck", variables, "faults")]
        )

    def _expected(self, index: int) -> Expected:
        return self.reference[alone(self.plan.jobs[index])]

    def _is_raisable(self, index: int) -> bool:
        return self.plan.jobs[index].strategy in RAISABLE


def has_command(name: str) -> bool:
    """Whether `luthier` has this command."""
    return name in COMMANDS


def _are_close(some: Any, other: Any) -> bool:
    return np.allclose(np.asarray(some), np.asarray(other), rtol=_CLOSE, atol=_CLOSE)


def _ended(state: object) -> bool:
    return state in TRIAL_ENDED


def _is_enqueued(trial: Mapping[str, Any]) -> bool:
    values = trial["values"]
    return any(all(values[name] == value for name, value in each.items()) for each in ENQUEUED)


def _settled(look: Callable[[], list[str]]) -> list[str]:
    """Return what is still there when what was killed has had time to be cleared away."""
    deadline = time.monotonic() + _SETTLED_WITHIN
    while (found := look()) and time.monotonic() < deadline:
        time.sleep(_EVERY)
    return found


def _listed(command: str, variables: Mapping[str, str], key: str, *options: str) -> list[Any]:
    """Return what an operator's command lists; nothing where this version lacks it."""
    if not has_command(command):
        return []
    kept = {key: None for key in os.environ if key.startswith("LUTHIER_")}
    run = CliRunner().invoke(main, [command, "--json", *options], env={**kept, **variables})
    if not run.stdout.strip():
        return [{"name": f"luthier {command} failed: {run.output or run.exception!r}"}]
    listed: list[Any] = json.loads(run.stdout)[key]
    return listed
