"""The arrays that training works with."""

from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float32]]
