"""The messages must be had without TensorFlow, and tensors must survive the way there and back."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from roost.adapters import tf_messages
from roost.adapters.tf_messages import array_from_tensor, packed_tensor_from_array, tensor_from_array

ARRAYS = [
    np.array([[1.5, -2.0], [float("inf"), 0.0]], dtype=np.float32),
    np.array([1e300], dtype=np.float64),
    np.array([[0.5], [65504.0]], dtype=np.float16),
    np.array([-128, 127], dtype=np.int8),
    np.array([255], dtype=np.uint8),
    np.array([-7], dtype=np.int16),
    np.array([65535], dtype=np.uint16),
    np.array([[-(2**31)]], dtype=np.int32),
    np.array([-(2**63), 2**63 - 1], dtype=np.int64),
    np.array([2**32 - 1], dtype=np.uint32),
    np.array([2**64 - 1], dtype=np.uint64),
    np.array([1 - 2j, complex("nan+infj")], dtype=np.complex64),
    np.array([[1e300j]], dtype=np.complex128),
    np.array([1.5, -3e38], dtype=ml_dtypes.bfloat16),
    np.array([True, False]),
    np.array([[b"a", b"\xff\x00"], [b"", b"JFK"]], dtype=object),
    np.array(3.5, dtype=np.float32),
    np.zeros((0, 3), dtype=np.float32),
    np.arange(300, dtype=np.float32).reshape(3, 100),
    np.arange(40, dtype=np.complex64) * 1j,
    np.arange(10_000, dtype=np.float64)[::2],
]


@pytest.mark.parametrize("convert", [tensor_from_array, packed_tensor_from_array])
@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_a_tensor_comes_back_as_it_went(array: np.ndarray[Any, Any], convert: Any) -> None:
    """Dtype, shape and every value survive, in typed fields and as content."""
    back = array_from_tensor(convert(array))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)


def test_text_becomes_utf8_bytes() -> None:
    """Python strings and numpy's own string arrays are both sent as DT_STRING."""
    assert array_from_tensor(tensor_from_array(["Zürich", "JFK"])).tolist() == ["Zürich".encode(), b"JFK"]


def test_numbers_are_in_the_typed_field_unless_packed() -> None:
    """Clients of TensorFlow Serving read `float_val`."""
    values = np.array([1.0, 2.0], dtype=np.float32)
    assert list(tensor_from_array(values).float_val) == [1.0, 2.0]
    assert packed_tensor_from_array(values).tensor_content == values.tobytes()


def test_one_value_fills_a_larger_shape() -> None:
    """TensorFlow's own compression of constant tensors is understood; no value at all means zeros."""
    tensor = tensor_from_array(np.zeros((2, 2), dtype=np.int64))
    del tensor.int64_val[:]
    assert array_from_tensor(tensor).tolist() == [[0, 0], [0, 0]]
    tensor.int64_val.append(7)
    assert array_from_tensor(tensor).tolist() == [[7, 7], [7, 7]]


def test_what_is_too_large_for_a_small_integer_is_cut_as_tensorflow_cuts_it() -> None:
    """Eight and sixteen bits travel in a field of thirty-two."""
    tensor = tensor_from_array(np.zeros(2, dtype=np.uint8))
    tensor.int_val[:] = [300, -1]
    assert array_from_tensor(tensor).tolist() == [44, 255]


def test_a_few_bytes_cannot_claim_a_tensor_of_any_size() -> None:
    """A shape of a million million, and one value."""
    tensor = tensor_from_array(np.zeros(1, dtype=np.float32))
    tensor.tensor_shape.dim[0].size = 10**12
    with pytest.raises(tf_messages.UnsupportedTensorError, match="too large"):
        array_from_tensor(tensor)
    for packed in (False, True):  # none at all, in dimensions whose product no number holds
        empty = (packed_tensor_from_array if packed else tensor_from_array)(np.zeros((0, 1), dtype=np.float32))
        empty.tensor_shape.dim[1].size = 2**62
        with pytest.raises(tf_messages.UnsupportedTensorError, match="4611686018427387904"):
            array_from_tensor(empty)


def test_what_cannot_be_a_tensor_is_refused_by_name() -> None:
    """Wrong lengths, unknown dtypes and foreign objects raise instead of giving wrong numbers."""
    short = packed_tensor_from_array(np.zeros(3, dtype=np.float32))
    short.tensor_content = short.tensor_content[:5]
    with pytest.raises(tf_messages.UnsupportedTensorError, match="5 bytes"):
        array_from_tensor(short)
    with pytest.raises(tf_messages.UnsupportedTensorError, match="datetime64"):
        tensor_from_array(np.zeros(1, dtype="datetime64[s]"))
    with pytest.raises(tf_messages.UnsupportedTensorError, match="dict"):
        tensor_from_array(np.array([{}], dtype=object))
    unknown = tf_messages.tensor_pb2.TensorProto(dtype=tf_messages.types_pb2.DT_RESOURCE)
    with pytest.raises(tf_messages.UnsupportedTensorError, match="dtype"):
        array_from_tensor(unknown)
    open_shape = tensor_from_array(np.zeros(3, dtype=np.float32))
    open_shape.tensor_shape.dim[0].size = -1
    with pytest.raises(tf_messages.UnsupportedTensorError, match="fully known"):
        array_from_tensor(open_shape)
