"""The messages of TensorFlow and TensorFlow Serving, without TensorFlow itself, and tensors as numpy arrays.

Take the messages from here rather than from `tensorflow_serving`, so that the order of imports cannot matter: this
module first registers a bare parent package (`tf_parent` says why).
"""

from roost.adapters import tf_parent  # noqa: F401, I001  (the parent must be registered before what follows)
from roost.adapters.tensors import (
    Array,
    UnsupportedTensorError,
    array_from_tensor,
    fill_packed_tensor,
    fill_tensor,
    numpy_dtype,
    packed_tensor_from_array,
    proto_dtype,
    tensor_from_array,
)
from tensorflow.core.example import example_pb2
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    input_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

__all__ = [
    "Array",
    "UnsupportedTensorError",
    "array_from_tensor",
    "classification_pb2",
    "example_pb2",
    "fill_packed_tensor",
    "fill_tensor",
    "get_model_metadata_pb2",
    "get_model_status_pb2",
    "inference_pb2",
    "input_pb2",
    "meta_graph_pb2",
    "model_management_pb2",
    "model_pb2",
    "model_server_config_pb2",
    "model_service_pb2_grpc",
    "numpy_dtype",
    "packed_tensor_from_array",
    "predict_pb2",
    "prediction_log_pb2",
    "prediction_service_pb2_grpc",
    "proto_dtype",
    "regression_pb2",
    "saved_model_pb2",
    "tensor_from_array",
    "tensor_pb2",
    "tensor_shape_pb2",
    "types_pb2",
]
