"""The commands of docs/cli.md and the programs of docs/client.md run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import Service
from tests.readme import ROOT
from tests.waiting import PATIENCE


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


def run(command: list[str], service: Service, folder: Path) -> str:
    (folder / "examples").symlink_to(ROOT / "examples")
    kept = {name: text for name, text in os.environ.items() if not name.startswith("LUTHIER_")}
    done = subprocess.run(
        command,
        cwd=folder,
        env=kept | {"LUTHIER_URL": service.url, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_commands_run(service: Service, tmp_path: Path) -> None:
    found = blocks("cli.md", "bash")
    assert len(found) == 3
    shell = f'luthier() {{ {sys.executable} -m luthier "$@"; }}\n'
    shell += f'python() {{ {sys.executable} "$@"; }}\n'
    text = run(["bash", "-euo", "pipefail", "-c", shell + "".join(found)], service, tmp_path)
    assert re.search(r"^version +\d", text, re.M)
    header, *rows = (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()
    assert header.endswith(",year,prediction,lower,upper")
    assert len(rows) == len((ROOT / "examples/penguins.csv").read_text("utf-8").splitlines()) - 1
    assert (tmp_path / "trials.csv").read_text(encoding="utf-8").startswith("number,state,score")
    assert (tmp_path / "exported" / "model.onnx").exists()


def test_the_programs_run(service: Service, tmp_path: Path) -> None:
    found = blocks("client.md", "python")
    assert len(found) == 4
    text = run([sys.executable, "-c", "".join(found)], service, tmp_path)
    assert "prediction" in text
    assert text.splitlines()[-1] == "succeeded"
