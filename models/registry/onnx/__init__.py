"""ONNX graphs of versions: written, run, compared with the network, timed."""
