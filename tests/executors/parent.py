"""A process with an executor whose task never ends; it is to be killed."""

import sys

from models.executors.local import LocalExecutor
from tests.executors.tasks import announce_and_wait

if __name__ == "__main__":
    folder, preload = sys.argv[1:]
    executor = LocalExecutor(1, 2**30, preload=preload or None)
    executor.submit(announce_and_wait, folder, None).result()
