from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from luthier.cli import main
from luthier.client import Client, Job
from tests.conftest import Service
from tests.readme import ROOT

PENGUINS = str(ROOT / "examples" / "penguins.csv")
SPACE = '{"num_layers": 1, "units": {"type": "choice", "values": [4, 8]}}'
QUICK: tuple[str, ...] = (
    *("--trials", "2", "--epochs", "2", "--strategy", "random", "--space", SPACE),
    *("--set", "evaluation.method=holdout", "--set", "ensemble=1"),
)

Luthier = Callable[..., Result]


@pytest.fixture
def luthier(service: Service) -> Luthier:
    """Run a command against the service, as a shell would."""

    def run(*arguments: str, text: str | None = None) -> Result:
        runner = CliRunner(env={"LUTHIER_URL": service.url})
        return runner.invoke(main, arguments, prog_name="luthier", input=text)

    return run


@pytest.fixture(scope="session")
def trained(client: Client) -> Iterator[Job]:
    """A job that has made the first version of the model `cli-penguins`."""
    request: dict[str, Any] = {
        "model": "cli-penguins",
        "search_space": {"num_layers": 1, "units": {"type": "choice", "values": [4, 8]}},
        "strategy": "grid",
        "evaluation": {"method": "holdout"},
        "ensemble": 1,
    }
    job = client.tune(PENGUINS, target="body_mass_g", epochs=2, **request).wait()
    assert job.state == "succeeded", job["error"]
    yield job
    client.delete_model("cli-penguins")
