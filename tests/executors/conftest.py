from collections.abc import Iterator

import pytest

from models.executors.cluster import connect, disconnect
from tests.ray_nodes import ray_cluster


@pytest.fixture(scope="module")
def ray_connection() -> Iterator[None]:
    """A Ray cluster of one node that this process is connected to.

    It ends with the module: another may want a cluster of its own in this process.
    """
    with ray_cluster(8) as cluster:
        connect(cluster.address)
        yield
        disconnect()
