from models.data.preparation.tasks import Task
from models.networks.families import LayerSummary, build, summarize, summary_text
from models.networks.inputs import Inputs
from models.networks.outputs import Outputs

VALUES = {"num_layers": 1, "units": 4}


def test_layers_of_a_network():
    model = build("mlp", VALUES, Inputs((3,)), Outputs.of(Task.MULTICLASS, 5), seed=1)
    assert summarize(model) == [
        LayerSummary("features", "InputLayer", (None, 3), 0),
        LayerSummary("dense_1", "Dense", (None, 4), 16),
        LayerSummary("activation_1", "Activation", (None, 4), 0),
        LayerSummary("output", "Dense", (None, 5), 25),
    ]


def test_text_shows_every_layer_and_the_total():
    lines = summary_text(
        build("mlp", VALUES, Inputs((3,)), Outputs.of(Task.REGRESSION), seed=1)
    ).splitlines()
    assert len(lines) == 6
    assert lines[2].split() == ["dense_1", "Dense", "rows", "×", "4", "16"]
    assert lines[-1] == "total parameters: 21"
