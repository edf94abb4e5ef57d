"""Registered versions of models.

`catalog` numbers and finds versions and moves aliases, `files` reads their files and `documents`
checks what was stored. `export` is called with a winning trial; in a trial process, `building`
makes the files with `onnx_network` and `onnx_model`, `parity` compares the graph with the network,
and `evidence` writes why the version may be trusted.
"""
