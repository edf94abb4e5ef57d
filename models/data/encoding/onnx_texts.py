"""Texts as an ONNX graph: raw text in, the numbers of `texts.TextFeature` out.

Characters are split by ONNX Runtime's own operator `Tokenizer`. Its output has, for every row, as
many places as the longest text of the request has characters. So a loop takes the rows one by one:
a long text costs its own characters alone.
"""

import numpy as np
from onnx import TensorProto, helper

from models.data.columns import MAX_CHARACTERS
from models.data.encoding.ngrams import GAP_CODE, letter_codes
from models.data.encoding.onnx_builder import ML, RUNTIME, Graph
from models.data.encoding.texts import TextFeature


def add_texts(graph: Graph, features: tuple[TextFeature, ...]) -> list[str]:
    """Add the nodes of text columns; return the names of their outputs, float [N, numbers]."""
    blocks = []
    for number, feature in enumerate(features):
        cells = graph.cells(feature.name, TensorProto.STRING)
        texts = graph.side_by_side([cells], f"text_{number}_cells")
        if feature.bias:
            blocks.append(_numbers(graph, feature, texts, f"text_{number}"))
        if feature.has_missing:
            blocks.append(
                graph.add(
                    "LabelEncoder",
                    [texts],
                    f"text_{number}_missing",
                    domain=ML,
                    keys_strings=[""],
                    values_floats=[1.0],
                    default_float=0.0,
                )
            )
    return blocks


def _numbers(graph: Graph, feature: TextFeature, texts: str, name: str) -> str:
    rows = graph.add("Size", [texts], f"{name}_rows")
    always = graph.constant(f"{name}_always", True, np.bool_)
    weights = graph.constant(f"{name}_weights", np.array(feature.weights).T, np.float64)
    bias = graph.constant(f"{name}_bias", feature.bias, np.float64)
    first = graph.constant(f"{name}_first", [0], np.int64)
    one = graph.constant(f"{name}_one", [1], np.int64)
    # The mark of the start comes before the characters.
    end = graph.constant(f"{name}_end", [MAX_CHARACTERS + 1], np.int64)
    last_gap = graph.constant(f"{name}_last_gap", [[GAP_CODE]], np.int64)
    unit = graph.constant(f"{name}_unit", 1.0, np.float64)
    zero = graph.constant(f"{name}_zero", 0.0, np.float64)

    row = Graph()
    text = row.add("Gather", [texts, f"{name}_row"], f"{name}_text", axis=0)
    # With the separator "" each character is a token; the marks become gaps.
    tokens = row.add(
        "Tokenizer",
        [text],
        f"{name}_tokens",
        domain=RUNTIME,
        mark=1,
        mincharnum=1,
        pad_value="\x03",
        separators=[""],
    )
    cut = row.add("Slice", [tokens, first, end, one], f"{name}_cut")
    codes = letter_codes(feature.letters)
    letters = row.add(
        "LabelEncoder",
        [cut],
        f"{name}_letters",
        domain=ML,
        keys_strings=list(feature.letters),
        values_int64s=[codes[letter] for letter in feature.letters.values()],
        default_int64=GAP_CODE,
    )
    closed = row.add("Concat", [letters, last_gap], f"{name}_closed", axis=1)
    lengths = [len(gram) for gram in feature.grams]
    starts = [
        sum(length for length in lengths if length < size) for size in range(1, max(lengths) + 1)
    ]
    weighed = row.add(
        "TfIdfVectorizer",
        [closed],
        f"{name}_weighed",
        mode="IDF",  # the weight of each n-gram that occurs
        weights=list(feature.idf),
        min_gram_length=min(lengths),
        max_gram_length=max(lengths),
        max_skip_count=0,
        ngram_counts=starts,
        ngram_indexes=list(range(len(lengths))),
        pool_int64s=[codes[letter] for gram in feature.grams for letter in gram],
    )
    wide = row.add("Cast", [weighed], f"{name}_wide", to=TensorProto.DOUBLE)
    length = row.add("ReduceL2", [wide, one], f"{name}_length", keepdims=1)
    is_empty = row.add("Equal", [length, zero], f"{name}_is_empty")
    divisor = row.add("Where", [is_empty, unit, length], f"{name}_divisor")
    product = row.add("MatMul", [wide, weights], f"{name}_product")
    scaled = row.add("Div", [product, divisor], f"{name}_scaled")
    summed = row.add("Add", [scaled, bias], f"{name}_sum")
    narrow = row.add("Cast", [summed], f"{name}_narrow", to=TensorProto.FLOAT)
    flat = row.add("Squeeze", [narrow, first], f"{name}_flat")
    row.add("Identity", [f"{name}_condition"], f"{name}_go_on")
    body = row.body(
        [
            helper.make_tensor_value_info(f"{name}_row", TensorProto.INT64, []),
            helper.make_tensor_value_info(f"{name}_condition", TensorProto.BOOL, []),
        ],
        [
            helper.make_tensor_value_info(f"preprocessing/{name}_go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info(flat, TensorProto.FLOAT, [len(feature.bias)]),
        ],
        [helper.make_tensor_value_info(tokens, TensorProto.STRING, [1, "C"])],
    )
    graph.domains |= row.domains
    return graph.add("Loop", [rows, always], name, body=body)
