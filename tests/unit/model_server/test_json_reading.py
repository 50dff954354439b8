"""What the REST port reads, and what it says of what it cannot: RapidJSON's words, with its offsets."""

import gzip

import pytest

from serving.model_server.rest.http_body import MOST_UNCOMPRESSED, joined
from serving.model_server.rest.json_examples import read_examples
from serving.model_server.rest.json_reader import parse_json
from serving.model_server.statuses import Code, StatusError

FAULTS: dict[bytes, str] = {
    b"": "The document is empty",
    b" \n": "The document is empty. at offset: 2",
    b"{} x": "The document root must not be followed by other values. at offset: 3",
    b"x": "Invalid value. at offset: 0",
    b'{"a": tru}': "Invalid value. at offset: 9",
    b'{"a": -}': "Invalid value. at offset: 7",
    b'{"a": Infin}': "Invalid value. at offset: 11",
    b"{a: 1}": "Missing a name for object member. at offset: 1",
    b'{"a": 1,}': "Missing a name for object member. at offset: 8",
    b'{"a"}': "Missing a colon after a name of object member. at offset: 4",
    b'{"a": 1 "b": 2}': "Missing a comma or } after an object member. at offset: 8",
    b'{"a": 01}': "Missing a comma or } after an object member. at offset: 7",
    b'{"instances": [1}': "Missing a comma or ] after an array element. at offset: 16",
    b'{"instances": [1': "Missing a comma or ] after an array element. at offset: 16",
    b'{"a": "x': "Missing a closing quotation mark in string. at offset: 8",
    b'{"a": "\\q"}': "Invalid escape character in string. at offset: 7",
    b'{"a": "\t"}': "Invalid escape character in string. at offset: 7",
    b'{"a": "\\u12"}': "Incorrect hex digit after \\u escape in string. at offset: 7",
    b'{"a": "\\ud800x"}': "The surrogate pair in string is invalid. at offset: 7",
    b'{"a": 1.}': "Miss fraction part in number. at offset: 8",
    b'{"a": 1e}': "Miss exponent in number. at offset: 8",
    b'{"a": 1e400}': "Number too big to be stored in double. at offset: 6",
    b"[" * 100_000: "Nested too deeply. at offset: 200",
}


@pytest.mark.parametrize("body", FAULTS, ids=lambda body: repr(body[:20]))
def test_a_fault_is_named_with_its_offset(body: bytes) -> None:
    """In RapidJSON's words; only the depth is this server's own (the official one has no limit but its stack)."""
    with pytest.raises(StatusError) as refused:
        parse_json(body)
    assert refused.value.code is Code.INVALID_ARGUMENT
    assert refused.value.message == f"JSON Parse error: {FAULTS[body]}"


def test_what_only_rapidjson_reads_is_read() -> None:
    """Inf beside Infinity, a byte order mark, integers of any length, a NUL as the end."""
    assert parse_json(b'{"a": [Inf, -Infinity, 1e2]}') == {"a": [float("inf"), float("-inf"), 100.0]}
    assert parse_json(b"\xef\xbb\xbf{}") == {}
    assert parse_json(b'{"a": NaN, "b": 123456789012345678901234567890}')["b"] == pytest.approx(1.2345678901234568e29)
    assert parse_json(b'{"a": Inf, "b": "\\ud83d\\ude00\\n"}\0garbage')["b"] == "😀\n"


def test_examples_take_each_value_as_the_kind_it_is_written_as() -> None:
    """Text and b64 are bytes, numbers with a point floats, others integers, as flags are; lists and single values."""
    name, read = read_examples(
        parse_json(
            b'{"signature_name": "s", "context": {"c": "x"},'
            b' "examples": [{"f": [1.5, 2.0], "i": [1, true], "b": ["t", {"b64": "AA=="}], "none": []}, {}]}'
        )
    )
    features = read.example_list_with_context.examples[0].features.feature
    assert name == "s"
    assert list(features["f"].float_list.value) == [1.5, 2.0]
    assert list(features["i"].int64_list.value) == [1, 1]
    assert list(features["b"].bytes_list.value) == [b"t", b"\0"]
    assert features["none"].WhichOneof("kind") is None
    assert len(read.example_list_with_context.examples) == 2
    assert read.example_list_with_context.context.features.feature["c"].bytes_list.value == [b"x"]


EXAMPLE_FAULTS: dict[bytes, str] = {
    b"{}": "JSON Value: {} When method is classify, key 'examples' is expected and was not found",
    b'{"examples": 1}': ("JSON Value: {\n    \"examples\": 1\n} Expecting 'examples' value to be an list/array"),
    b'{"examples": []}': "JSON Value: {\n    \"examples\": []\n} 'examples' value is an empty array",
    b'{"examples": [1]}': "Example must be JSON object but got JSON Number",
    b'{"context": [], "examples": [{}]}': "Example must be JSON object but got JSON Array",
    b'{"examples": [{"a": null}]}': "Feature: a has element with unexpected JSON type: Null",
    b'{"examples": [{"a": [[1]]}]}': "Feature: a has element with unexpected JSON type: Array",
    b'{"examples": [{"a": {"b65": ""}}]}': "Feature: a has element with unexpected JSON type: Object",
    b'{"examples": [{"a": {"b64": "!"}}]}': "Unable to base64 decode",
    b'{"examples": [{"a": [1, 1.5]}]}': "Unexpected element type in feature: a expecting type: int64",
    b'{"examples": [{"a": [1.5, 1]}]}': "Unexpected element type in feature: a expecting type: float",
    b'{"examples": [{"a": ["x", true]}]}': "Unexpected element type in feature: a expecting type: bytes",
    b'{"examples": [{"a": 9223372036854775808}]}': "Feature: a has uint64 element. Only int64 is supported.",
    b'{"examples": [{"a": 1e39}]}': "Cannot convert JSON value: 1e+39 to float without loss of precision.",
    b'{"signature_name": 1, "examples": [{}]}': (
        'JSON Value: {\n    "signature_name": 1,\n    "examples": [\n        {}\n    ]\n} not formatted correctly. '
        "'signature_name' key must be a string value."
    ),
}


@pytest.mark.parametrize("body", EXAMPLE_FAULTS, ids=bytes.decode)
def test_examples_that_cannot_be_read_are_refused_in_the_official_words(body: bytes) -> None:
    """To the letter."""
    with pytest.raises(StatusError) as refused:
        read_examples(parse_json(body))
    assert refused.value.message == EXAMPLE_FAULTS[body]


def test_a_gzipped_body_is_unpacked_and_a_damaged_one_is_empty() -> None:
    """As the official server does, up to its hundred megabytes."""
    packed = gzip.compress(b"hello")
    assert joined([packed[:5], packed[5:]], gzipped=True) == b"hello"
    assert joined([b"hello"], gzipped=True) == b""
    assert joined([packed[:-9]], gzipped=True) == b""
    assert joined([gzip.compress(bytes(MOST_UNCOMPRESSED + 1), 1)], gzipped=True) == b""
    assert joined([b"a", b"b"], gzipped=False) == b"ab"
