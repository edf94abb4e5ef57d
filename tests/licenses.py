"""The licences of everything that the images contain, and those that a user need not think about.

`make audit` prints the list. Luthier is distributed without its dependencies, whose own files stay
as they are; copyleft of libraries (LGPL, MPL) is no obstacle to that.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

REQUIREMENTS = Path(__file__).parent.parent / "requirements"
IMAGES = ("api", "worker", "worker-gpu")
ALLOWED = {
    *("0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "HPND", "ISC"),
    *("LGPL-3.0-only", "MIT", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Unlicense", "Zlib"),
    "LLVM-exception",
}
_NAMES = {  # of classifiers, and of texts in place of an identifier
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL-3.0-only",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
# Packages that say nothing of their licence, or are in no environment but that of the GPU image.
_TOLD = {
    "namex": "Apache-2.0",  # its repository has the text
    "nvidia": "NVIDIA",  # may be distributed as part of an application; in worker-gpu only
}


def locked() -> dict[str, str]:
    """The packages of the images with their versions."""
    texts = [(REQUIREMENTS / f"{image}.lock").read_text(encoding="utf-8") for image in IMAGES]
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", "\n".join(texts), re.M))


def licenses() -> dict[str, str]:
    """The licence of each locked package as it tells it; empty for one that is not installed."""
    command = [str(Path(sys.executable).parent / "pip-licenses"), "--from=mixed", "--format=json"]
    done = subprocess.run([*command, "--with-system"], capture_output=True, check=True)
    known = {
        re.sub(r"[-_.]+", "-", item["Name"]).lower(): str(item["License"])
        for item in json.loads(done.stdout)
    }
    return {name: known.get(name, "") for name in sorted(locked())}


def refused(name: str, told: str) -> set[str]:
    """The parts of a package's licence that are not allowed."""
    if told in ("", "UNKNOWN"):
        told = _TOLD.get(name.partition("-")[0], "unknown")
    parts = {part.strip(" ()") for part in re.split(r"\bAND\b|\bOR\b|\bWITH\b|;", _named(told))}
    return parts - ALLOWED - ({"NVIDIA"} if name.startswith("nvidia-") else set())


def _named(told: str) -> str:
    for text, identifier in _NAMES.items():
        told = told.replace(text, identifier)
    return told


def main() -> None:
    """Print the list; exit with 1 where a licence is not allowed."""
    table = Table(title="Licences of what the images contain")
    for heading in ("package", "version", "licence", "not allowed"):
        table.add_column(heading)
    found = licenses()
    for name, version in sorted(locked().items()):
        told = found[name] or _TOLD.get(name.partition("-")[0], "unknown")
        table.add_row(name, version, told, ", ".join(refused(name, found[name])))
    Console(width=110).print(table)
    sys.exit(any(refused(*item) for item in found.items()))


if __name__ == "__main__":
    main()
