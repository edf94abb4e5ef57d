"""What the documentation tells people to type."""

import re
import subprocess
import sys

import pytest

from models.space.hyperparameters import HYPERPARAMETERS
from tests.readme import README, ROOT, curl_commands, predicted_grams
from tests.waiting import PATIENCE


def test_the_curl_quickstart_runs_as_it_stands(service, tmp_path):
    finished = subprocess.run(
        ["bash", "-euc", curl_commands(service.url)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert finished.returncode == 0, finished.stderr
    # The last penguin of the file weighs 3,775 g; those of its species from 2.7 to 4.8 kg.
    assert 2700 < predicted_grams(finished.stdout) < 4800


def test_the_python_quickstart_runs_as_it_stands(service):
    (program,) = re.findall(r"```python\n(.*?)```", README, re.S)
    program = program.replace("http://127.0.0.1:8000", service.url)
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
    )
    assert finished.returncode == 0, finished.stderr
    assert float(finished.stdout) > 0


@pytest.mark.slow
def test_the_demo_predicts_penguins_it_never_saw(tmp_path):
    finished = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "12/12" in finished.stdout
    assert "predicted (g)" in finished.stdout
    assert "The service has stopped." in finished.stdout
    r2 = re.search(r"R² ([0-9.]+)", finished.stdout)
    assert r2
    assert float(r2[1]) > 0.7


def test_every_hyperparameter_is_documented_with_its_default():
    table = (ROOT / "docs" / "tuning.md").read_text(encoding="utf-8")
    for name, known in HYPERPARAMETERS.items():
        default = str(known.default).lower() if isinstance(known.default, bool) else known.default
        assert f"| `{name}` | `{default}` |" in table, name
        for choice in known.choices:
            if not isinstance(choice, bool):
                assert f"`{choice}`" in table, (name, choice)


def test_every_dependency_is_explained():
    declared = re.findall(
        r'^    "([A-Za-z0-9_.-]+)[><=]', (ROOT / "pyproject.toml").read_text(), re.M
    )
    explained = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    assert declared
    assert [name for name in declared if name not in explained] == []
