"""The batching parameters file: `BatchingParameters` in protobuf's text form, its defaults, and what it may say.

The message does not ship in the Python package, so its descriptor is made here; the text form knows fields by name.
https://github.com/tensorflow/serving/blob/master/tensorflow_serving/batching/README.md describes the parameters.
"""

import os
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2

from serving.model_server.side_files import read_text
from serving.model_server.statuses import invalid_argument

_FIELD = descriptor_pb2.FieldDescriptorProto
_WHOLE = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
_MICROSECONDS = 1e6

#: The pool's name where no file gives one.
SERVER_POOL = "model_server_batch_threads"
#: In a version's directory, with `--enable_per_model_batching_parameters`.
PER_MODEL_FILE = "batching_params.pbtxt"


def _message() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="roost/batching_parameters.proto",
        package="tensorflow.serving.dropin",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    message = file.message_type.add(name="BatchingParameters")
    wrapped = {**dict.fromkeys(_WHOLE, "Int64Value"), "thread_pool_name": "StringValue"}
    wrapped |= {"enable_large_batch_splitting": "BoolValue", "max_execution_batch_size": "Int64Value"}
    for number, (name, kind) in enumerate(wrapped.items(), start=1):
        added = message.field.add(name=name, number=number, label=_FIELD.LABEL_OPTIONAL)
        added.type, added.type_name = _FIELD.TYPE_MESSAGE, f".google.protobuf.{kind}"
    message.field.add(name="allowed_batch_sizes", number=20, type=_FIELD.TYPE_INT64, label=_FIELD.LABEL_REPEATED)
    message.field.add(name="pad_variable_length_inputs", number=21, type=_FIELD.TYPE_BOOL, label=_FIELD.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.BatchingParameters"))


_Message = _message()


def _cores() -> int:
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchingParameters:
    """How requests are batched; the defaults are those of the official scheduler.

    Sizes are rows: the first dimension of a request's tensors. `timeout` in seconds is how long a batch that is not
    full waits for more. With `split`, a request larger than `most_executed` runs in pieces.
    """

    max_batch_size: int = 1000
    timeout: float = 0.0
    max_enqueued_batches: int = 10
    threads: int = field(default_factory=_cores)
    pool: str = "batch_threads"
    allowed_sizes: tuple[int, ...] = ()
    pad_variable_length: bool = False
    split: bool = False
    most_executed: int = 1000

    def check_pool(self) -> None:
        """Raise INVALID_ARGUMENT where there would be no thread: the server does not start."""
        if self.threads < 1:
            raise invalid_argument(f"num_batch_threads must be positive; was {self.threads}")

    def check_queue(self) -> None:
        """Raise INVALID_ARGUMENT where no queue can be like this: no version loads."""
        if self.allowed_sizes and self.allowed_sizes[-1] != self.most_executed:
            limit = "max_execution_batch_size" if self.split else "max_batch_size"
            verb = "be equal to" if self.split else "match"
            raise invalid_argument(
                f"Last entry in allowed_batch_sizes must {verb} {limit}; last entry was {self.allowed_sizes[-1]}; "
                f"expected {self.most_executed}"
            )
        if self.split and any(size <= before for before, size in pairwise(self.allowed_sizes)):
            raise invalid_argument("allowed_batch_sizes entries must be monotonically increasing")
        if self.max_batch_size == 0:
            raise invalid_argument("input_batch_size_limit must be positive; was 0")
        if self.timeout < 0:
            micros = round(self.timeout * _MICROSECONDS)
            raise invalid_argument(f"batch_timeout_micros must be non-negative; was {micros}")
        if self.split and self.max_enqueued_batches == 0:
            raise invalid_argument("max_enqueued_batches must be positive; was 0")
        if self.split and self.max_batch_size < self.most_executed:
            raise invalid_argument(
                "When enable_large_batch_splitting is true, input_batch_size_limit must be greater than or equal to "
                "max_execution_batch_size."
            )

    def padded(self, size: int) -> int:
        """Return the smallest allowed size that holds a batch of so many rows."""
        return next((allowed for allowed in self.allowed_sizes if allowed >= size), size)


def read_parameters(path: str) -> BatchingParameters:
    """Read a file. Raises INVALID_ARGUMENT where it does not parse, and what reading it ends with."""
    try:
        message = text_format.Parse(read_text(path), _Message())
    except text_format.ParseError as error:
        raise invalid_argument(f"Invalid protobuf file: '{path}'") from error
    return parameters_of(message)


def parameters_of(message: Any) -> BatchingParameters:
    """Return what a message says, defaults where it says nothing."""
    default = BatchingParameters()

    def said(name: str, otherwise: Any) -> Any:
        return getattr(message, name).value if message.HasField(name) else otherwise

    split = said("enable_large_batch_splitting", otherwise=False)
    most = said("max_batch_size", default.max_batch_size)
    return BatchingParameters(
        max_batch_size=most,
        timeout=said("batch_timeout_micros", 0) / _MICROSECONDS,
        # Models of low traffic have zero in their files; the official scheduler reads that as one.
        max_enqueued_batches=said("max_enqueued_batches", default.max_enqueued_batches) or (0 if split else 1),
        threads=said("num_batch_threads", default.threads),
        pool=said("thread_pool_name", default.pool),
        allowed_sizes=tuple(message.allowed_batch_sizes),
        pad_variable_length=message.pad_variable_length_inputs,
        split=split,
        most_executed=said("max_execution_batch_size", most) if split else most,
    )
