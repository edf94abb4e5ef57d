"""`luthier jobs`, `job`, `trials`, `compare`, and the commands that steer a job."""

import sys
from typing import Any

import click

from luthier.client import Job
from luthier.commands.connection import REFUSED, Failure, Interrupted, Service, with_service
from luthier.commands.live import follow
from luthier.commands.rendering import show_job, show_jobs, show_table, show_trials, shown

_STATES = ("queued", "running", "paused", "finishing", "succeeded", "failed", "cancelled")


@click.command()
@click.option("--state", type=click.Choice(_STATES), help="Only those in this state.")
@click.option("--model", help="Only those of this model.")
@click.option("--tag", help="Only those with this tag.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@with_service()
def jobs(service: Service, limit: int, **query: str | None) -> None:
    """List tuning jobs, newest first.

    \b
    luthier jobs --state running
    luthier jobs --json | jq '.items[].id'
    """
    wanted = {name: value for name, value in query.items() if value} | {"limit": limit}
    body = service.client.request("GET", "/tune", params=wanted).json()
    service.answer(body, lambda body: show_jobs(body["items"]))


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("--watch", is_flag=True, help="Show it live until it has ended.")
@with_service()
def job(service: Service, job_id: str, watch: bool) -> None:
    """Show a tuning job; exit with 1 if it has failed.

    \b
    luthier job job_3af8045dad441b9e --watch
    """
    found = service.client.job(job_id)
    if watch and not found.is_over and service.is_own:
        raise Failure("No worker runs here. Start one with `luthier serve`.")
    finish_command(service, follow_to_end(service, found) if watch else found)


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("--sort", type=click.Choice(["score", "number"]), default="score", show_default=True)
@click.option("--state", help="Only those in this state, such as failed.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option("--csv", "as_csv", is_flag=True, help="Print all as one CSV table.")
@with_service()
def trials(service: Service, job_id: str, as_csv: bool, **query: Any) -> None:
    """List the trials of a job, the best first.

    \b
    luthier trials job_3af8045dad441b9e --limit 5
    luthier trials job_3af8045dad441b9e --csv > trials.csv
    """
    wanted = {name: value for name, value in query.items() if value is not None}
    path = f"/tune/{job_id}/trials"
    if as_csv:
        del wanted["limit"]
        headers = {"Accept": "text/csv"}
        answer = service.client.request("GET", path, params=wanted, headers=headers)
        click.echo(answer.text.replace("\r\n", "\n"), nl=False)
        return
    body = service.client.request("GET", path, params=wanted).json()
    service.answer(body, lambda body: show_trials(body["items"]))


@click.command()
@click.argument("job_ids", metavar="A B ...", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Also jobs whose scores do not mean the same.")
@with_service()
def compare(service: Service, job_ids: tuple[str, ...], force: bool) -> None:
    """Compare two or more jobs.

    \b
    luthier compare job_3af8045dad441b9e job_7f981b43539c2055
    """
    if len(job_ids) < 2:
        raise click.UsageError("Give at least two jobs.")
    service.answer(service.client.compare(*job_ids, force=force), _show_comparison)


def _show_comparison(body: dict[str, Any]) -> None:
    rows = []
    for item in body["items"]:
        held_out = item["held_out"] or {}
        rows.append(
            [
                item["id"],
                item["strategy"],
                item["objective"]["metric"],
                item["best_score"],
                sum(item["trials"].values()),
                item["seconds"],
                held_out.get("score"),
                " to ".join(map(shown, held_out.get("interval") or [])) or None,
            ]
        )
    headers = ("job", "strategy", "objective", "best", "trials", "seconds", "on test rows", "95 %")
    show_table(headers, rows, "There are no jobs.")
    for text in body["differences"]:
        click.echo(f"They differ: {text}")


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("--trial", type=click.IntRange(1), help="Build a version of this trial instead.")
@with_service("serve")
def finish(service: Service, job_id: str, trial: int | None) -> None:
    """Stop a job now and make a version of its best trial.

    \b
    luthier finish job_3af8045dad441b9e
    """
    found = service.client.finish(job_id, trial)
    finish_command(service, follow_to_end(service, found) if service.is_own else found)


@click.command()
@click.argument("job_id", metavar="ID")
@with_service()
def cancel(service: Service, job_id: str) -> None:
    """Cancel a job and its trials."""
    service.answer(service.client.cancel(job_id), _show_state)


@click.command()
@click.argument("job_id", metavar="ID")
@with_service()
def pause(service: Service, job_id: str) -> None:
    """Start no more trials of a job until it is resumed."""
    service.answer(service.client.pause(job_id), _show_state)


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("--watch", is_flag=True, help="Show it live until it has ended.")
@with_service("serve")
def resume(service: Service, job_id: str, watch: bool) -> None:
    """Go on with a paused job."""
    found = service.client.resume(job_id)
    if watch or service.is_own:
        finish_command(service, follow_to_end(service, found))
    else:
        service.answer(found, _show_state)


def _show_state(found: Job) -> None:
    click.echo(f"{found.id} {found.state}")


def follow_to_end(service: Service, found: Job) -> Job:
    """Show a job live until it has ended.

    Ctrl-C stops watching. A service that runs for this command ends then, so its job is paused.
    """
    try:
        return follow(service.client, found.id)
    except KeyboardInterrupt:
        click.echo(err=True)
        raise Interrupted(_interrupted(service, found.id)) from None


def _interrupted(service: Service, job_id: str) -> str:
    if not service.is_own:
        return (
            f"{job_id} goes on at {service.client.url}. `luthier job {job_id} --watch` shows it,"
            f" `luthier cancel {job_id}` ends it."
        )
    found = service.client.job(job_id)
    if found.state in ("queued", "running"):
        found = service.client.pause(job_id)
    return (
        f"{job_id} is {found.state} with {found['progress']['completed']} trials."
        f" `luthier resume {job_id}` goes on with it, `luthier cancel {job_id}` ends it."
    )


def finish_command(service: Service, found: Job) -> None:
    """Print a job; exit with 1 if it has failed or was cancelled."""
    service.answer(found, show_job)
    if found.state in ("failed", "cancelled"):
        sys.exit(REFUSED)
