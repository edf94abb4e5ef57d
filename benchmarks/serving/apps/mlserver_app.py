"""MLServer with ONNX Runtime."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.serving.apps.graph import Graph


class Predictor(MLModel):
    """Runs the graph on rows of numbers."""

    async def load(self) -> bool:
        """Load the graph."""
        self.graph = Graph()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Return a number a row."""
        found = self.graph.run(NumpyCodec.decode_input(payload.inputs[0]))
        outputs = [NumpyCodec.encode_output("predictions", found)]
        return InferenceResponse(model_name=self.name, outputs=outputs)
