"""Continuous integration, hooks and locks name only what there is."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yaml").read_text(encoding="utf-8"))


def commands() -> list[str]:
    """Every command of the workflow, and those of `.ci/run` that follow its preamble."""
    steps = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    return [step["run"] for step in steps if "run" in step] + [
        line for line in lines if not line.startswith(("#", "set ", "cd "))
    ]


def test_continuous_integration_calls_make_targets() -> None:
    called = commands()
    assert len(called) >= 4
    assert {line.partition(" ")[0] for line in called} == {"make"}
    assert {line.partition(" ")[2] for line in called} <= TARGETS


def test_every_supported_python_is_tested() -> None:
    versions = WORKFLOW["jobs"]["check"]["strategy"]["matrix"]["python"]
    assert PROJECT["project"]["requires-python"] == f">={versions[0]}"
    assert len(versions) == len(set(versions)) == 3


def test_the_hooks_run_the_commands_of_make_lint() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    run = {hook["entry"].split()[0] for repo in hooks["repos"] for hook in repo["hooks"]}
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").split("\nlint:")[1].split("\n\n")[0]
    assert run == {f".venv/bin/{name}" for name in re.findall(r"\$\(BIN\)/([\w-]+)", recipe)}


@pytest.mark.parametrize("lock", ["api", "worker", "worker-gpu", "dev", "build"])
def test_a_lock_has_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.lock").read_text(encoding="utf-8")
    assert "--hash=sha256:" in text
    assert "://" not in text
    assert "--index" not in text


def test_every_requirement_is_locked_within_its_range() -> None:
    text = (ROOT / "requirements" / "dev.lock").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.M))
    extras = PROJECT["project"]["optional-dependencies"]
    for line in PROJECT["project"]["dependencies"] + extras["worker"] + extras["dev"]:
        wanted = Requirement(line)
        version = locked[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(version, prereleases=True), f"{line}: {version} is locked"
