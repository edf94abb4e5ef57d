import numpy as np
import pytest

from models.errors import ArtifactError
from models.store.artifacts import Artifacts
from models.trials.run import load_weights, save_weights
from models.trials.spec import weights_name


@pytest.mark.both_stores
def test_weights_come_back_in_order(settings):
    artifacts = Artifacts(settings.resolved_artifacts)
    weights = [np.full(number, number, dtype=np.float32) for number in range(12)]
    save_weights(artifacts, weights_name("trials/3", 1, 0), weights)
    loaded = load_weights(artifacts, "trials/3/weights-1-0.npz")
    assert all(np.array_equal(a, b) for a, b in zip(weights, loaded, strict=True))


def test_missing_and_damaged_weights_are_told(tmp_path):
    artifacts = Artifacts(str(tmp_path))
    with pytest.raises(ArtifactError, match="missing"):
        load_weights(artifacts, "none.npz")
    artifacts.write("damaged.npz", b"PK\x03\x04 cut short")
    with pytest.raises(ArtifactError, match="cannot be read"):
        load_weights(artifacts, "damaged.npz")
