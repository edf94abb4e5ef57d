"""What a terminal shows of `luthier tune --watch`, for docs/cli.md, or of another command.

`python -m benchmarks.dashboard.recording` runs the command on a pseudo-terminal of 100 columns,
with a service of its own and empty data, and prints the lines that stand there at the end.
"""

import argparse
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import termios
from contextlib import suppress
from fcntl import ioctl

from benchmarks.server import free_port

COMMAND = (
    "luthier tune examples/penguins.csv --target body_mass_g --watch --trials 3 --epochs 4"
    " --set evaluation.method=holdout"
)
COLUMNS, ROWS = 100, 50
_PIECE = re.compile(r"\x1b\[([\d;?]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


class Screen:
    """The lines of a terminal that understands what rich writes: moves of the cursor, erasing."""

    def __init__(self) -> None:
        self._lines = [""]
        self._row = self._column = 0

    def write(self, text: str) -> None:
        """Show text with its control sequences; colours are left out."""
        for number, code, move, shown in _PIECE.findall(text):
            if shown:
                self._print(shown)
            elif move == "\r":
                self._column = 0
            elif move == "\n":
                self._row += 1
                self._lines += [""] * (self._row >= len(self._lines))
            elif code == "A":
                self._row = max(0, self._row - int(number or 1))
            elif code == "K":
                self._lines[self._row] = "" if number == "2" else self._line[: self._column]
            elif code not in "mhl":
                raise ValueError(f"The control sequence {number}{code} is not known.")

    def __str__(self) -> str:
        return "\n".join(line.rstrip() for line in self._lines).rstrip()

    @property
    def _line(self) -> str:
        return self._lines[self._row]

    def _print(self, text: str) -> None:
        before = self._line[: self._column].ljust(self._column)
        self._column += len(text)
        self._lines[self._row] = before + text + self._line[self._column :]


def main() -> None:
    """Run the command and print the screen at its end."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("command", nargs="?", default=COMMAND)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as data:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LUTHIER_")}
        environment |= {
            "LUTHIER_BIND": f"127.0.0.1:{free_port()}",
            "LUTHIER_DATA": data,
            "TERM": "xterm-256color",
        }
        screen = Screen()
        status = _follow(shlex.split(chosen.command), environment, screen)
    print(f"$ {chosen.command}\n{screen}")
    sys.exit(status)


def _follow(command: list[str], environment: dict[str, str], screen: Screen) -> int:
    """Run a `luthier` command on a terminal, show what it writes, and return its exit status."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    # Reading fails once the other end is closed.
    with suppress(OSError), os.fdopen(ours, encoding="utf-8", newline="") as terminal:
        for text in terminal:
            screen.write(text)
    return process.wait()


if __name__ == "__main__":
    main()
