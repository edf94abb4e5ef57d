"""The messages of the Open Inference Protocol over gRPC, made from their definition at run time.

Source: `open_inference_grpc.proto` of the protocol's specification (Copyright 2023 The KServe
Authors, Apache License 2.0). Only numbers and types of fields are sent, so messages that are nested
there lie side by side here, and a map is a list of keys and values.
"""

import re
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

_NAMED = "string name = 1; string version = 2"
_CHOICE = "InferParameter"  # of which one field is set
_TENSOR = "string name = 1; string datatype = 2; repeated int64 shape = 3;"
_DEFINITION = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "bool live = 1",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "bool ready = 1",
    "ModelReadyRequest": _NAMED,
    "ModelReadyResponse": "bool ready = 1",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": f"{_NAMED}; repeated string extensions = 3",
    "ModelMetadataRequest": _NAMED,
    "TensorMetadata": _TENSOR,
    "ModelMetadataResponse": "string name = 1; repeated string versions = 2; string platform = 3;"
    " repeated TensorMetadata inputs = 4; repeated TensorMetadata outputs = 5",
    _CHOICE: "bool bool_param = 1; int64 int64_param = 2; string string_param = 3;"
    " double double_param = 4; uint64 uint64_param = 5",
    "ParameterEntry": "string key = 1; InferParameter value = 2",
    "InferTensorContents": "repeated bool bool_contents = 1; repeated int32 int_contents = 2;"
    " repeated int64 int64_contents = 3; repeated uint32 uint_contents = 4;"
    " repeated uint64 uint64_contents = 5; repeated float fp32_contents = 6;"
    " repeated double fp64_contents = 7; repeated bytes bytes_contents = 8",
    "InferTensor": f"{_TENSOR} repeated ParameterEntry parameters = 4;"
    " InferTensorContents contents = 5",
    "InferRequestedOutputTensor": "string name = 1; repeated ParameterEntry parameters = 2",
    "ModelInferRequest": "string model_name = 1; string model_version = 2; string id = 3;"
    " repeated ParameterEntry parameters = 4; repeated InferTensor inputs = 5;"
    " repeated InferRequestedOutputTensor outputs = 6; repeated bytes raw_input_contents = 7",
    "ModelInferResponse": "string model_name = 1; string model_version = 2; string id = 3;"
    " repeated ParameterEntry parameters = 4; repeated InferTensor outputs = 5;"
    " repeated bytes raw_output_contents = 6",
}
_FIELD = re.compile(r"(repeated )?(\w+) (\w+) = (\d+)")


def _make_messages() -> dict[str, Any]:
    file = FileDescriptorProto(name="open_inference.proto", package=PACKAGE, syntax="proto3")
    for name, definition in _DEFINITION.items():
        message = file.message_type.add(name=name)
        if name == _CHOICE:
            message.oneof_decl.add(name="parameter_choice")
        for repeated, kind, field_name, number in _FIELD.findall(definition):
            field = message.field.add(name=field_name, number=int(number))
            is_list = FieldDescriptorProto.LABEL_REPEATED
            field.label = is_list if repeated else FieldDescriptorProto.LABEL_OPTIONAL
            if kind in _DEFINITION:
                field.type = FieldDescriptorProto.TYPE_MESSAGE
                field.type_name = f".{PACKAGE}.{kind}"
            else:
                field.type = getattr(FieldDescriptorProto, f"TYPE_{kind.upper()}")
            if name == _CHOICE:
                field.oneof_index = 0
    pool = DescriptorPool()  # its own: a client in the same process may define the same names
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in _DEFINITION
    }


MESSAGES = _make_messages()
"""The class of each message, by its name."""


def parameters_of(entries: Any) -> dict[str, Any]:
    """Return parameters by name, each a bool, an int, a float or a text; None for none of them."""
    found = {}
    for entry in entries:
        choice = entry.value.WhichOneof("parameter_choice")
        found[entry.key] = None if choice is None else getattr(entry.value, choice)
    return found
