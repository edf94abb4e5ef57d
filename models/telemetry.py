"""What the processes say about themselves."""

import logging
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

# What TensorFlow's native code says on import whatever its log level is.
_IMPORT_NOISE = re.compile(
    rb"^(I0000 .*(port\.cc|cudart_stub\.cc)|WARNING: All log messages before absl)"
)

_CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029]
_WRITTEN_OUT = {code: f"\\x{code:02x}" for code in _CONTROLS}


class OneLineFormatter(logging.Formatter):
    """Writes control characters of a message out, so that no caller can forge a line of the log.

    Tracebacks, which follow the message, keep their lines.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (it is logging's name)
        """The line without its traceback."""
        return super().formatMessage(record).translate(_WRITTEN_OUT)


def configure_logging(level: str) -> None:
    """Send log lines of `level` and above to standard error, with UTC times."""
    logging.Formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(
        OneLineFormatter(
            "%(asctime)sZ %(levelname)s %(processName)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
        )
    )
    logging.basicConfig(level=level, handlers=[handler])
    for chatty in ("alembic", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


@contextmanager
def without_import_noise() -> Iterator[None]:
    """Leave out what TensorFlow writes to standard error when it is imported; keep the rest.

    It writes past Python, so the file descriptor itself is exchanged for the time of the block.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            written.seek(0)
            for line in written:
                if not _IMPORT_NOISE.match(line):
                    os.write(2, line)
