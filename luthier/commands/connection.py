"""The service that a command calls: its address, its answers, its errors as exit codes."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal

import click
import httpx

from luthier.client import KEY_VARIABLE, URL_VARIABLE, Client, ClientError, RequestRefused
from luthier.commands.own_service import has_data, own_service

REFUSED = 1  # the service refused, or a job failed

_LOOK_WITHIN = 5.0  # seconds that a local service has to answer that it is there


class Failure(click.ClickException):
    """An error with an exit code: the service refused, or something failed."""

    exit_code = REFUSED


class NotReached(Failure):
    """No service answers."""

    exit_code = 3


class Interrupted(Failure):
    """The user pressed Ctrl-C."""

    exit_code = 130


@dataclass(frozen=True)
class Service:
    """A service that a command calls."""

    client: Client
    as_json: bool  # print the answers of the service as they are
    is_own: bool  # started for this command, and ended with it

    def answer(self, body: Any, render: Callable[[Any], object]) -> None:
        """Print an answer as JSON, or as `render` does."""
        if self.as_json:
            click.echo(json.dumps(body, ensure_ascii=False))
        else:
            render(body)


def with_service(starts: Literal["serve", "api"] = "api") -> Callable[..., Any]:
    """Make a function a command that calls a service, its first argument.

    Where none runs on this machine, and none is named, `luthier serve` or `luthier api` runs for as
    long as the command does.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def run(url: str | None, api_key: str | None, as_json: bool, **arguments: Any) -> None:
            with connected(url, api_key, as_json, starts) as service:
                function(service, **arguments)

        return connection_options(_JSON(run))

    return decorate


_JSON = click.option("--json", "as_json", is_flag=True, help="Print the API's answer as JSON.")
_CONNECTION: tuple[Callable[..., Any], ...] = (
    click.option("--api-key", metavar="KEY", help=f"API key. Default: {KEY_VARIABLE}."),
    click.option(
        "--url",
        envvar=URL_VARIABLE,
        metavar="URL",
        help=f"Address of the service. Default: {URL_VARIABLE}, else this machine's; where none"
        " runs, one is started for this command.",
    ),
)


def connection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options `--url` and `--api-key`."""
    for option in _CONNECTION:
        command = option(command)
    return command


@contextmanager
def connected(
    url: str | None, api_key: str | None, as_json: bool, starts: Literal["serve", "api"]
) -> Iterator[Service]:
    """Give a service for a block, as `with_service` does; errors of its calls end the command."""
    with (
        _told(),
        _address(url, starts) as (address, is_own),
        Client(address, api_key=api_key, timeout=600.0) as client,
    ):
        yield Service(client, as_json, is_own)


@contextmanager
def _address(url: str | None, starts: Literal["serve", "api"]) -> Iterator[tuple[str, bool]]:
    """Give the address of the service, and whether it runs for this command alone."""
    if url:
        yield url, False
        return
    from models.settings import Settings

    settings = Settings.from_environment()
    host, port = settings.address
    local = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    address = f"http://[{local}]:{port}" if ":" in local else f"http://{local}:{port}"
    if is_luthier(address):
        yield address, False
        return
    if starts == "api" and not settings.database_url and not has_data(settings.data):
        raise NotReached(
            f"No service answers at {address}, and there is nothing in {settings.data!r}."
            " Start one with `luthier serve`, or name one by --url."
        )
    with own_service(starts) as own:
        yield own, True


def is_luthier(address: str) -> bool:
    """Return whether a service of Luthier answers at an address of this machine."""
    try:
        answer = httpx.get(f"{address}/readyz", timeout=_LOOK_WITHIN)
        body = answer.json()
    except (httpx.TransportError, ValueError):
        return False
    return isinstance(body, dict) and "checks" in body


@contextmanager
def _told() -> Iterator[None]:
    """Turn what a call may raise into an error of one line."""
    from models.errors import LuthierError

    try:
        yield
    except RequestRefused as error:
        raise Failure(refusal_text(error)) from None
    except ClientError as error:
        raise Failure(str(error)) from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise click.UsageError(f"--url: {error}") from None
    except httpx.TransportError as error:
        text = f"No answer from {_asked(error)}: {str(error) or type(error).__name__}"
        raise NotReached(text) from None
    except LuthierError as error:
        raise Failure(str(error)) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Failure(f"{error.filename or 'A file'}: {error.strerror}.") from None


def _asked(error: httpx.TransportError) -> str:
    try:
        return str(error.request.url)
    except RuntimeError:  # it failed before there was a request
        return "the service"


def refusal_text(error: RequestRefused) -> str:
    """Return why a request was refused, in one line: the fields in question, else the detail."""
    fields = [f"{path}: {' '.join(found)}" for path, found in error.errors.items()]
    text = "; ".join(fields) or str(error.problem.get("detail") or error.problem)
    if error.status == 401:
        text += f" Give a key by --api-key or {KEY_VARIABLE}."
    return " ".join(text.split())
