"""Tuning jobs."""

from dataclasses import replace
from typing import Any

from flask import Response, jsonify, request, url_for
from flask.typing import ResponseReturnValue

from api import forms
from api.hooks.limits import current_body, give_back_turn
from api.openapi import TUNE_EXAMPLE, TUNE_FORM_EXAMPLE
from api.parsing import MEDIA_TYPES, Blueprint, StrictParser, wanted_format
from api.schemas.deletion import DeletedSchema, DeleteJobsQuery
from api.schemas.fields import DEFAULT_LIMIT, page
from api.schemas.tables import TrialTable
from api.schemas.tune.commands import ChangeBudgetSchema, EnqueueTrialsSchema, FinishSchema
from api.schemas.tune.form import TuneFormSchema, load_form
from api.schemas.tune.front import FrontSchema
from api.schemas.tune.jobs import JobPageSchema, JobSchema
from api.schemas.tune.plans import PlanSchema
from api.schemas.tune.queries import JobQuery, JobsQuery, TrialsQuery, TuneQuery
from api.schemas.tune.trials import TrialPageSchema, TrialSchema
from api.services import services
from api.streams import RETRY_AFTER
from models.fields import LARGEST_NUMBER
from models.jobs.front import Front, read_front
from models.jobs.model import Job, Trial
from models.jobs.schema.spec import JobSpecSchema
from models.jobs.spec import JobSpec
from models.retention.deletion import Deleted, JobFilter
from models.telemetry import add_about

# Making a schema takes as long as loading a request by it.
_SCHEMA, _PARSER = JobSpecSchema(), StrictParser()

blueprint = Blueprint("tune", __name__, url_prefix="/tune", description="Tuning jobs")


@blueprint.route("", methods=["POST"])
@blueprint.arguments(TuneQuery, location="query")
@blueprint.response(202, JobSchema)
@blueprint.alt_response(200, schema=PlanSchema, description="The plan, with `dry_run`")
@blueprint.alt_response(429, description="Too many jobs are queued; see `Retry-After`")
@blueprint.doc(
    requestBody={
        "required": True,
        "content": {
            "application/json": {"schema": JobSpecSchema, "example": TUNE_EXAMPLE},
            forms.MEDIA_TYPE: {"schema": TuneFormSchema, "example": TUNE_FORM_EXAMPLE},
        },
    }
)
def start(query: dict[str, Any]) -> Any:
    """Start a tuning job; with a form, store its file as the dataset first."""
    wanted = _read_form() if request.mimetype == forms.MEDIA_TYPE else _read_body()
    if query["dry_run"]:
        return _plan(wanted)
    job = services().submission.submit(wanted)
    add_about(job=job.id, model=job.model)
    shown, more = _awaited(job, query["wait"])
    return shown, 202, {"Location": url_for("tune.show", job=job.id), **more}


@blueprint.route("", methods=["GET"])
@blueprint.arguments(JobsQuery, location="query")
@blueprint.response(200, JobPageSchema)
def index(query: dict[str, Any]) -> dict[str, Any]:
    """List tuning jobs, newest first."""
    found = services().jobs.page(
        query["limit"] + 1, query["after"], query["state"], query["model"], query["tag"]
    )
    body = page(found, query["limit"], lambda job: job.id)
    return body | {"items": services().jobs.all_with_progress(body["items"])}


@blueprint.route("/<job>", methods=["GET"])
@blueprint.arguments(JobQuery, location="query")
@blueprint.response(200, JobSchema)
def show(query: dict[str, Any], job: str) -> tuple[Job, int, dict[str, str]]:
    """Show a tuning job's state, progress and best trial."""
    shown, more = _awaited(services().jobs.get(job), query["wait"])
    return shown, 200, more


@blueprint.route("/<job>", methods=["DELETE"])
@blueprint.response(204)
def remove(job: str) -> None:
    """Delete a job that is not being worked on; its registered versions stay."""
    services().deletion.job(job)


@blueprint.route("", methods=["DELETE"])
@blueprint.arguments(DeleteJobsQuery, location="query")
@blueprint.response(200, DeletedSchema)
def remove_many(query: dict[str, Any]) -> Deleted:
    """Delete jobs that match a filter, ended ones unless `state` says otherwise."""
    wanted = JobFilter(query["state"], query["before"], query["model"], tuple(query["tag"]))
    return services().deletion.jobs(wanted, query["limit"], dry_run=query["dry_run"])


@blueprint.route("/<job>", methods=["PATCH"])
@blueprint.arguments(ChangeBudgetSchema)
@blueprint.response(202, JobSchema)
def change_budget(body: dict[str, Any], job: str) -> Job:
    """Change a job's budget or its labels; with more budget, one that has ended goes on."""
    return _shown(services().job_commands.change(job, body.pop("budget", {}), body))


@blueprint.route("/<job>/cancel", methods=["POST"])
@blueprint.response(202, JobSchema)
def cancel(job: str) -> Job:
    """Cancel a job and its trials."""
    return _shown(services().job_commands.cancel(job))


@blueprint.route("/<job>/pause", methods=["POST"])
@blueprint.response(202, JobSchema)
def pause(job: str) -> Job:
    """Start no more trials until the job is resumed."""
    return _shown(services().job_commands.pause(job))


@blueprint.route("/<job>/resume", methods=["POST"])
@blueprint.response(202, JobSchema)
def resume(job: str) -> Job:
    """Go on with a paused job."""
    return _shown(services().job_commands.resume(job))


@blueprint.route("/<job>/requeue", methods=["POST"])
@blueprint.response(202, JobSchema)
def requeue(job: str) -> Job:
    """Take a job from its worker, such as one that hangs, and queue it for any worker."""
    return _shown(services().job_commands.requeue(job))


@blueprint.route("/<job>/finish", methods=["POST"])
@blueprint.arguments(FinishSchema, required=False)
@blueprint.response(202, JobSchema)
def finish(body: dict[str, Any], job: str) -> Job:
    """Stop a job now and build a version of its best trial, or of `trial` if it has ended."""
    return _shown(services().job_commands.finish(job, body.get("trial")))


@blueprint.route("/<job>/front", methods=["GET"])
@blueprint.response(200, FrontSchema)
def front(job: str) -> Front:
    """Show the trials that no other beats by every objective, and the hypervolume over trials."""
    found = services().jobs.get(job)
    return read_front(found.spec, services().jobs.outcomes(found))


@blueprint.route("/<job>/trials", methods=["GET"])
@blueprint.arguments(TrialsQuery, location="query")
@blueprint.response(200, TrialPageSchema)
@blueprint.doc(responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}})
def trials(query: dict[str, Any], job: str) -> ResponseReturnValue:
    """List a job's trials, as JSON or as one table."""
    wanted = {"sort": query["sort"], "after": query["after"]}
    wanted["states"] = [query["state"]] if query["state"] else None
    limit, found = query["limit"], services().jobs
    listed = found.get(job)
    if wanted_format(None, MEDIA_TYPES) == "csv":
        table = TrialTable()
        table.add(found.each_trial(listed, limit=limit, **wanted))
        response = Response(table.lines(), mimetype=MEDIA_TYPES["csv"])
        response.call_on_close(table.close)
    else:
        limit = limit or DEFAULT_LIMIT
        items = found.trials(listed, limit=limit + 1, **wanted)
        body = page(items, limit, lambda trial: trial.number)
        left_out = () if query["history"] else ("items.history", "items.folds")
        response = jsonify(TrialPageSchema(exclude=left_out).dump(body))
    response.vary.add("Accept")
    return response


@blueprint.route("/<job>/trials", methods=["POST"])
@blueprint.arguments(EnqueueTrialsSchema)
@blueprint.response(202, TrialPageSchema)
def enqueue(body: dict[str, Any], job: str) -> dict[str, Any]:
    """Queue trials of your own values, beside those of the job's strategy."""
    enqueued = services().job_commands.enqueue(job, body.get("trials") or body["values"])
    return {"items": enqueued, "next": None}


@blueprint.route(f"/<job>/trials/<int(max={LARGEST_NUMBER}):number>", methods=["GET"])
@blueprint.response(200, TrialSchema)
def trial(job: str, number: int) -> Trial:
    """Show one trial."""
    return services().jobs.trial(services().jobs.get(job), number)


@blueprint.route(f"/<job>/trials/<int(max={LARGEST_NUMBER}):number>", methods=["DELETE"])
@blueprint.response(204)
def discard(job: str, number: int) -> None:
    """Discard a trial: it counts and teaches no more. Versions built from it stay."""
    services().job_commands.discard(job, number)


def _read_body() -> JobSpec:
    """Return the job that a JSON body asks for."""
    if not request.is_json and current_body():
        raise forms.other_media_type()
    wanted: JobSpec = _PARSER.parse(_SCHEMA, request, location="json")
    return wanted


def _read_form() -> JobSpec:
    """Return the job that a form asks for; its file is stored."""
    form = load_form(forms.form_values(TuneFormSchema()))
    name = form.file.filename
    record = services().datasets.add_file(
        form.file.stream, name, form.file.mimetype, form.types, options=form.options
    )
    return replace(form.spec, dataset=record.id)


def _awaited(job: Job, seconds: float) -> tuple[Job, dict[str, str]]:
    """Return the job when it has ended or `seconds` are over, and headers for the answer."""
    headers = {}
    if seconds:
        give_back_turn()
        if not services().streams.wait(
            job.id, seconds, client=request.environ.get("gunicorn.socket")
        ):
            headers = {"Retry-After": RETRY_AFTER}
        job = services().jobs.get(job.id)
    return _shown(job), headers


def _shown(job: Job) -> Job:
    return services().jobs.with_progress(job)


def _plan(wanted: JobSpec) -> ResponseReturnValue:
    decision = services().submission.decide(wanted)
    outlook = services().forecaster.forecast(decision)
    plan = {
        "trials": decision.trials,
        "reused": len(decision.reused),
        "initial_points": decision.plan.initial_points,
        "space_size": decision.plan.space_size,
        "schedule": decision.plan.schedule,
        "forecast": outlook.forecast,
        "forecast_missing": outlook.missing,
        "warnings": decision.notes["warnings"],
        "columns": decision.notes["columns"],
        "request": decision.request,
    }
    return jsonify(PlanSchema().dump(plan))
