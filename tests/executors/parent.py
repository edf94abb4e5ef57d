"""A process with an executor whose task never ends; it is to be killed."""

import sys

from models.executors.local import LocalExecutor
from tests.executors.tasks import announce_and_wait

if __name__ == "__main__":
    LocalExecutor(1, 2**30).submit(announce_and_wait, sys.argv[1], None).result()
