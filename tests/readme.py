"""The commands of the README and of the pages in docs/, ready to be run."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.processes import environment
from tests.waiting import PATIENCE

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

_BLOCK = re.compile(r"^```(\S*)\n(.*?)^```$", re.S | re.M)
_COMMAND = re.compile(r"^(?:curl|luthier|\w+=\$\(curl) ", re.M)
# An answer of 4xx or 5xx ends the script, also inside $(…) and pipes.
_CURL = """
curl() {
  command curl --silent --show-error --fail-with-body "$@" || { echo "$*" >> failed; return 22; }
}
"""


def curl_commands(url: str) -> str:
    """The quickstart's two curl blocks as one script against `url`, to be run from anywhere."""
    blocks = [text for text in re.findall(r"```bash\n(.*?)```", README, re.S) if "curl" in text]
    assert len(blocks) == 2
    return _against(url, "\n".join(blocks))


def commands(page: str, url: str) -> str:
    """All blocks of a page of docs/ that call curl or luthier, as one script against `url`."""
    script = _against(url, "\n".join(_blocks(ROOT / "docs" / page)))
    # These commands take the address of the service as an option.
    return re.sub(
        r"^(luthier (?:import|export-trials) .*)$", rf"\1 --url {url}", script, flags=re.M
    )


def run_commands(
    script: str, folder: Path, python: str, variables: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    """Run a script in `folder`; it fails if any of its requests does."""
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    luthier = bin_folder / "luthier"
    luthier.write_text(f'#!/bin/sh\nexec {python} -m luthier "$@"\n')
    luthier.chmod(0o755)
    env = environment() | dict(variables)
    env |= {"PATH": f"{bin_folder}:{env['PATH']}", "PYTHONPATH": str(ROOT)}
    finished = subprocess.run(
        ["bash", "-euc", _CURL + script],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    failed = folder / "failed"
    assert not failed.exists(), failed.read_text() + finished.stdout
    assert finished.returncode == 0, finished.stderr
    return finished


def pages_with_commands() -> set[str]:
    """Return the pages of docs/ that show a command of curl or luthier in a block."""
    return {path.name for path in (ROOT / "docs").glob("*.md") if _blocks(path)}


def predicted_grams(output: str) -> float:
    """The last number of the CSV table that the script printed, whatever its line ends."""
    table = output.replace("\r", "").split("prediction\n", 1)
    assert len(table) == 2, output
    return float(table[1].splitlines()[-1])


def _blocks(page: Path) -> list[str]:
    """Return the blocks of a page that show commands, whatever their language is called."""
    found = _BLOCK.findall(page.read_text(encoding="utf-8"))
    return [text for kind, text in found if kind in ("", "bash", "sh") and _COMMAND.search(text)]


def _against(url: str, script: str) -> str:
    script = script.replace("http://127.0.0.1:8000", url)
    script = script.replace("localhost:8000", url.removeprefix("http://"))
    return script.replace("@examples", f"@{ROOT}/examples")
