"""The members of a TabM network in NumPy: adapters of the inputs, and output layers.

A scaling layer is the adapter of a single member.
`models.networks.members` defines them. Signals are (features, members * rows), all rows of the
first member first, so that the shared layers take them like so many more rows.
"""

import numpy as np

from models.trials.trainers.base import Floats


class AdapterPass:
    """The adapters for a fixed number of rows; with a gradient they can learn."""

    def __init__(self, adapters: Floats, gradient: Floats | None, rows: int) -> None:
        """`adapters` and `gradient` are (members, features)."""
        members, features = adapters.shape
        self._adapters, self._gradient = adapters.T[:, :, None], gradient
        self._signal = np.ones((features + 1, members, rows), np.float32)
        shape = (features if gradient is not None else 0, members * rows)
        self.slope = np.empty(shape, np.float32)  # the gradient by the adapted inputs

    def adapt(self, signal: Floats) -> Floats:
        """Return (features + 1, members * rows) of (features + 1, rows); both end with ones."""
        np.multiply(signal[:-1, None, :], self._adapters, out=self._signal[:-1])
        return self._signal.reshape(len(signal), -1)

    def learn(self, signal: Floats, before: Floats | None = None) -> None:
        """Write the gradient by the adapters, which follows from `slope`.

        `signal` is (features + 1, rows). The gradient by it is written to `before`, (features,
        rows), unless that is None.
        """
        assert self._gradient is not None
        slope = self.slope.reshape(self._adapters.shape[0], self._adapters.shape[1], -1)
        if before is not None:
            np.sum(slope * self._adapters, axis=1, out=before)
        np.matmul(slope, signal[:-1, :, None], out=self._gradient.T[:, :, None])


def by_member(signal: Floats, members: int) -> Floats:
    """View (features, members * rows) as (members, features, rows)."""
    return signal.reshape(len(signal), members, -1).transpose(1, 0, 2)
