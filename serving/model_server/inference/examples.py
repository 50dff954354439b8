"""A request's examples as the one string tensor that a graph parses them from."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from roost.adapters.tf_messages import Array, input_pb2
from serving.model_server.statuses import invalid_argument

_FIELD = descriptor_pb2.FieldDescriptorProto


def _serialized_input() -> Any:
    """Return a message with the wire form of `Input`, whose examples are bytes: they pass through unread."""
    file = descriptor_pb2.FileDescriptorProto(
        name="roost/serialized_input.proto", package="tensorflow.serving.dropin", syntax="proto3"
    )
    kinds = (("ExampleList", False), ("ExampleListWithContext", True))
    for name, with_context in kinds:
        message = file.message_type.add(name=name)
        message.field.add(name="examples", number=1, type=_FIELD.TYPE_BYTES, label=_FIELD.LABEL_REPEATED)
        if with_context:
            message.field.add(name="context", number=2, type=_FIELD.TYPE_BYTES, label=_FIELD.LABEL_OPTIONAL)
    whole = file.message_type.add(name="SerializedInput")
    for number, (name, _) in enumerate(kinds, start=1):
        added = whole.field.add(name=("plain", "with_context")[number - 1], number=number, label=_FIELD.LABEL_OPTIONAL)
        added.type, added.type_name = _FIELD.TYPE_MESSAGE, f".{file.package}.{name}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.SerializedInput"))


_SerializedInput = _serialized_input()


def serialized_examples(request_input: input_pb2.Input) -> Array:
    """Return the examples, serialised, as a vector of strings.

    A context's bytes come before each example's: protobuf merges the two where the graph parses them, and the
    example's own features win. Raises INVALID_ARGUMENT where there is no example.
    """
    read = _SerializedInput.FromString(request_input.SerializeToString())
    examples: Sequence[bytes] = read.plain.examples
    if request_input.WhichOneof("kind") == "example_list_with_context":
        context = read.with_context.context
        examples = [context + example for example in read.with_context.examples]
    if not examples:
        raise invalid_argument("Input is empty.")
    values = np.empty(len(examples), dtype=np.object_)
    values[:] = examples
    return values
