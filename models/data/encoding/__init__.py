"""Rows to network inputs: fitted encodings of columns, in NumPy and as an ONNX graph."""
