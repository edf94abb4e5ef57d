"""Every request that may change something: its entry in the audit log, its idempotency key."""

import hashlib
import logging
from http import HTTPStatus
from typing import Any

import marshmallow as ma
from flask import Flask, Response, current_app, g, json, jsonify, request, url_for
from sqlalchemy.exc import SQLAlchemyError

from api import forms
from api.hooks.auth import Operation, changing_operation, present_caller
from api.hooks.limits import current_body
from api.hooks.request_log import request_id
from api.schemas.batches import BatchSchema
from api.schemas.datasets import DatasetSchema
from api.schemas.models.models import ModelSchema
from api.schemas.models.monitoring import StoredFeedbackSchema
from api.schemas.models.versions import VersionSchema
from api.schemas.tune.jobs import JobSchema
from api.schemas.tune.trials import TrialPageSchema
from api.services import services
from models.access.idempotency import HEADER, MAX_LENGTH, Answer, Claim, Finished
from models.access.keys import ANONYMOUS, Caller, Scope
from models.errors import Conflict, Invalid
from models.store.audit import Actor, Command, carry_out
from models.telemetry import add_about

REPLAYED = "Idempotent-Replayed"

_KINDS = {
    "tune": "job",
    "datasets": "dataset",
    "models": "model",
    "batches": "batch",
}  # by blueprint
_METHODS = frozenset({"POST", "PATCH"})  # the others may be sent again as they are
_TIMING = frozenset({"wait"})  # parts of a query that only say when to answer
_ANONYMOUS = Actor(ANONYMOUS)

log = logging.getLogger(__name__)


def register(app: Flask) -> None:
    """Record what requests to `app` change; must be registered after the check of the caller."""
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(lambda _: carry_out(None))


def takes_key(method: str, operation: Operation) -> bool:
    """Return whether an operation looks at an `Idempotency-Key`."""
    return method.upper() in _METHODS and operation.changes


def _begin() -> Response | None:
    carry_out(None)
    operation = changing_operation()
    if operation is None:
        return None
    _refuse_unknown_query()
    command = _command(operation)
    add_about(key=command.actor.name)
    has_key = takes_key(request.method, operation) and HEADER in request.headers
    if has_key and not _is_dry_run():  # which leaves the key to the request that it prepares
        found = _claim(command.actor)
        if isinstance(found, Finished):
            return _answer_again(found)
        g.claim = found
        command.on_change = found.complete
    carry_out(command)
    return None


def _refuse_unknown_query() -> None:
    """Raise Invalid for a query parameter of an operation that has none, or one given twice.

    Operations with a query check the names of theirs. A change that ignored `dry_run`, or one of
    two filters, would be carried out.
    """
    if not request.args:
        return
    view = current_app.view_functions[request.endpoint or ""]
    known = getattr(view, "_apidoc", {}).get("arguments", {}).get("parameters", [])
    schemas = [parameter["schema"] for parameter in known if parameter.get("in") == "query"]
    if not schemas:
        raise Invalid({name: ["Unknown field."] for name in request.args})
    listed = {
        name
        for schema in schemas
        for name, field in schema().fields.items()
        if isinstance(field, ma.fields.List)
    }
    twice = [n for n, texts in request.args.lists() if len(texts) > 1 and n not in listed]
    if twice:
        raise Invalid({name: ["Give it once."] for name in twice})


def _is_dry_run() -> bool:
    return request.args.get("dry_run") in ma.fields.Boolean.truthy


def _command(operation: Operation) -> Command:
    """Return the command of the present request.

    It is about the first thing that the path names; the rest of the address is part of the details.
    """
    caller = present_caller()
    named = dict(request.view_args or {})
    kind = next(iter(named), None) or _KINDS.get(request.blueprint or "", request.blueprint or "")
    return Command(
        _ANONYMOUS if caller is None else _actor(caller),
        operation.id,
        kind,
        named.pop(kind, None),
        named | _query(),
        request_id(),
    )


def _actor(caller: Caller) -> Actor:
    return Actor(caller.name, caller.key_id, caller.may(Scope.PROMOTE))


def _query() -> dict[str, Any]:
    return {
        name: texts if len(texts) > 1 else texts[0]
        for name, texts in request.args.lists()
        if name not in _TIMING
    }


def _claim(actor: Actor) -> Claim | Finished:
    key = request.headers[HEADER]
    if not 1 <= len(key) <= MAX_LENGTH:
        raise Invalid.at(HEADER, f"Must have 1 to {MAX_LENGTH} characters.")
    is_form = request.mimetype == forms.MEDIA_TYPE
    body = forms.form_digest() if is_form else hashlib.sha256(current_body()).hexdigest()
    parts = [request.method, request.path, sorted(_query().items()), body]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    caller = f"key:{actor.key_id}" if actor.key_id else f"name:{actor.name}"
    return services().idempotency.claim(caller, key, digest, body)


def _end(response: Response) -> Response:
    """Store the answer of a request that was carried out; let the key of any other be used."""
    claim: Claim | None = g.pop("claim", None)
    if claim is None:
        return response
    carry_out(None)
    try:
        if response.status_code < HTTPStatus.BAD_REQUEST:
            text = response.get_data(as_text=True)
            location = response.headers.get("Location")
            claim.answer(Answer(response.status_code, text, location))
        else:
            claim.release()
    except SQLAlchemyError as error:
        # The change is committed: a request that is sent again finds it without its answer.
        log.warning("the answer of an idempotency key could not be stored: %s", error)
    return response


def _answer_again(finished: Finished) -> Response:
    answer = finished.answer or _lost_answer(finished)
    response = Response(answer.body, status=answer.status, mimetype="application/json")
    if answer.location is not None:
        response.headers["Location"] = answer.location
    response.headers[REPLAYED] = "true"
    return response


def _lost_answer(finished: Finished) -> Answer:
    """Return the answer of a request whose process ended before it, as far as it is known now."""
    assert request.endpoint is not None
    status, body, location = HTTPStatus.ACCEPTED, None, None
    if request.endpoint == "tune.enqueue":
        body = _enqueued(finished)
    elif request.blueprint == "tune":
        body = JobSchema().dump(services().jobs.with_progress(services().jobs.get(finished.id)))
        location = url_for("tune.show", job=finished.id)
    elif request.endpoint == "datasets.create":
        status = HTTPStatus.CREATED
        body = DatasetSchema().dump(services().datasets.catalog.get(finished.id))
        location = url_for("datasets.show", dataset=finished.id)
    elif request.endpoint == "models.import_version":
        version = services().models.version(finished.id, finished.details["version"])
        status, body = HTTPStatus.CREATED, VersionSchema().dump(version)
        location = url_for("models.show_version", model=finished.id, version=version.version)
    elif request.endpoint == "batches.start":
        batch = services().batches.get(finished.details["batch"])
        body, location = BatchSchema().dump(batch), url_for("batches.show", batch=batch.id)
    elif request.blueprint == "models":
        status, body = HTTPStatus.OK, ModelSchema().dump(services().models.model(finished.id))
    elif request.endpoint == "monitoring.give_feedback":
        status, body = HTTPStatus.OK, StoredFeedbackSchema().dump(finished.details)
    else:
        raise Conflict("The request was carried out, but its answer is not known any more.")
    is_made = (
        request.endpoint == "batches.start" or not request.view_args or status == HTTPStatus.CREATED
    )
    text = jsonify(body).get_data(as_text=True)
    return Answer(status, text, location if is_made else None)


def _enqueued(finished: Finished) -> Any:
    job = services().jobs.get(finished.id)
    numbers = finished.details.get("trials", [])
    trials = [services().jobs.trial(job, number) for number in numbers]
    return TrialPageSchema().dump({"items": trials, "next": None})
