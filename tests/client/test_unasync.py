"""The synchronous client is made from the asynchronous one."""

import inspect
import subprocess
import sys

from luthier.client import AsyncClient, Client
from tests.readme import ROOT


def test_the_synchronous_client_is_what_its_source_makes() -> None:
    done = subprocess.run(
        [sys.executable, "client/unasync.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_both_have_the_same_methods_with_the_same_parameters() -> None:
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if not name.startswith("__"):
            twin = getattr(AsyncClient, {"close": "aclose"}.get(name, name))
            parameters = inspect.signature(method).parameters
            assert parameters.keys() == inspect.signature(twin).parameters.keys(), name
