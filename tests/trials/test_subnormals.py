import platform
import sys

import numpy as np
import pytest

from models.trials.trainers.numpy.trainer import subnormals_flushed

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.machine() not in ("x86_64", "aarch64"),
    reason="flushed on Linux only",
)

# Read at run time, so that no compiler works the product out.
TINY = np.array([1e-30, 1e-9], np.float32)


def product():
    return float(np.prod(TINY))


def test_products_below_the_normal_numbers_are_0_within_the_block_only():
    assert product() > 0
    with subnormals_flushed():
        assert product() == 0
        with subnormals_flushed():
            pass
        assert product() == 0
    assert product() > 0


def test_an_error_ends_the_block():
    with pytest.raises(RuntimeError), subnormals_flushed():
        raise RuntimeError
    assert product() > 0
