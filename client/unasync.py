"""Make `luthier/client/_sync` of `luthier/client/_async`, or check that it is up to date.

`python client/unasync.py` writes the files, `--check` only compares them and exits with 1 if they
differ. The words below are all that the two differ in.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE, TARGET = (ROOT / "luthier" / "client" / name for name in ("_async", "_sync"))
NOTICE = "# Made by client/unasync.py from {}; change that.\n"
_WORDS = [
    (r"\basync (def|for|with) ", r"\1 "),
    (r"\bawait asyncio\.sleep\b", "time.sleep"),
    (r"\bimport asyncio\b", "import time"),
    (r"\bawait ", ""),
    (r"\bhttpx\.AsyncClient\b", "httpx.Client"),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
    (r"\ba(close|read|iter_bytes|iter_lines)\b", r"\1"),
    (r"\bluthier\.client\._async\b", "luthier.client._sync"),
]


def synchronous(name: str) -> str:
    """Return the synchronous form of one file of the source, formatted."""
    text = (SOURCE / name).read_text(encoding="utf-8")
    for pattern, replacement in _WORDS:
        text = re.sub(pattern, replacement, text)
    if name == "__init__.py":
        text = '"""The synchronous client."""\n'
    # Other words may change the order of imports and the length of lines.
    for command in (["check", "--fix", "--quiet", "--select", "I"], ["format", "--quiet"]):
        text = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(TARGET / name), "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        ).stdout
    return NOTICE.format(f"_async/{name}") + text


def main(arguments: list[str]) -> int:
    """Write every file, or with `--check` name those that differ."""
    stale = []
    for path in sorted(SOURCE.glob("*.py")):
        target, text = TARGET / path.name, synchronous(path.name)
        if "--check" not in arguments:
            target.write_text(text, encoding="utf-8")
        elif not target.exists() or target.read_text(encoding="utf-8") != text:
            stale.append(path.name)
    for name in stale:
        print(f"_sync/{name} is not what _async/{name} makes: python client/unasync.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
