"""What the processes say about themselves."""

import logging
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# What TensorFlow's native code says on import whatever its log level is.
_IMPORT_NOISE = re.compile(
    rb"^(I0000 .*(port\.cc|cudart_stub\.cc)|WARNING: All log messages before absl)"
)

_exchanging = threading.RLock()


def configure_logging(level: str) -> None:
    """Send log lines of `level` and above to standard error, with UTC times."""
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        level=level,
        format="%(asctime)sZ %(levelname)s %(processName)s %(name)s: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )
    for chatty in ("alembic", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


@contextmanager
def without_import_noise() -> Iterator[None]:
    """Leave out what TensorFlow writes to standard error when it is imported; keep the rest.

    It writes past Python, so the file descriptor itself is exchanged for the time of the block; one
    thread at a time, or the first to leave would hand the others' file back for the real one.
    """
    with _exchanging, tempfile.TemporaryFile() as written:
        sys.stderr.flush()
        kept = os.dup(2)
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
