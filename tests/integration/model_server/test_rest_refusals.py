"""REST refuses in TensorFlow Serving's own words: status and text, to the letter."""

import json

import pytest

from tests.integration.model_server.running import RunningServer

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

ECHO = {
    "double": [[1.5, -2.25], [0.1, 1e300]],
    "int32": [1, -2],
    "int64": [2**63 - 1, 0],
    "uint8": [0, 255],
    "flag": [True, False],
    "text": ["Zürich", ""],
    "blob": [{"b64": "AP8="}, "plain"],
}

JSON_ERROR = "JSON Parse error: "
ELEMENT = "Failed to process element: "
BAD = 400

#: Method, path below /v1/models, body, status, and the whole text of the error.
REFUSALS: dict[str, tuple[str, str, str, int, str]] = {
    "malformed JSON": (
        "POST",
        "/scale:predict",
        '{"instances": [1}',
        BAD,
        JSON_ERROR + "Missing a comma or ] after an array element. at offset: 16",
    ),
    "no body": ("POST", "/scale:predict", "", BAD, JSON_ERROR + "The document is empty"),
    "a list": ("POST", "/scale:predict", "[1]", BAD, "JSON Value: [\n    1\n] Is not object"),
    "neither key": ("POST", "/scale:predict", "{}", BAD, "Missing 'inputs' or 'instances' key"),
    "both keys": (
        "POST",
        "/scale:predict",
        '{"instances": [1], "inputs": [1]}',
        BAD,
        (
            'JSON Value: {\n    "instances": [\n        1\n    ],\n    "inputs": [\n        1\n    ]\n} Not formatted '
            "correctly expecting only one of 'inputs' or 'instances' keys to exist "
        ),
    ),
    "a signature that is no name": (
        "POST",
        "/scale:predict",
        '{"signature_name": null, "inputs": [1]}',
        BAD,
        (
            'JSON Value: {\n    "signature_name": null,\n    "inputs": [\n        1\n    ]\n} not formatted correctly. '
            "'signature_name' key must be a string value."
        ),
    ),
    "no instances": (
        "POST",
        "/scale:predict",
        '{"instances": []}',
        BAD,
        "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array",
    ),
    "instances no list": (
        "POST",
        "/scale:predict",
        '{"instances": 1}',
        BAD,
        "JSON Value: {\n    \"instances\": 1\n} Excepting 'instances' to be an list/array",
    ),
    "a plain list for several inputs": (
        "POST",
        "/echo:predict",
        '{"instances": [1]}',
        BAD,
        (
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        ),
    ),
    "a plain value for several inputs": (
        "POST",
        "/echo:predict",
        '{"inputs": 1}',
        BAD,
        (
            "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
            "tensorinfo_map"
        ),
    ),
    "a wrong type": (
        "POST",
        "/scale:predict",
        '{"instances": [1, "a"]}',
        BAD,
        (
            f"{ELEMENT}1 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: \"a\" Type: String is not of "
            "expected type: float"
        ),
    ),
    "a wrong type by name": (
        "POST",
        "/scale:predict",
        '{"instances": [{"x": true}]}',
        BAD,
        (
            f"{ELEMENT}0 key: x of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: true Type: True is not of "
            "expected type: float"
        ),
    ),
    "an unknown input": (
        "POST",
        "/scale:predict",
        '{"instances": [{"x": 1, "z": 1}]}',
        BAD,
        f"{ELEMENT}0 key: z of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not have named input: z",
    ),
    "a row without its input": (
        "POST",
        "/scale:predict",
        '{"instances": [{"x": 1}, {}]}',
        BAD,
        f"{ELEMENT}1 of 'instances' list. JSON object: {{}} keys must be equal to: x",
    ),
    "a value among objects": (
        "POST",
        "/scale:predict",
        '{"instances": [{"x": 1}, 2]}',
        BAD,
        "Expecting object but got list at item 1 of input list",
    ),
    "an object among values": (
        "POST",
        "/scale:predict",
        '{"instances": [2, {"x": 1}]}',
        BAD,
        "Expecting value/list but got object at item 1 of input list",
    ),
    "a missing input": ("POST", "/scale:predict", '{"inputs": {}}', BAD, "Missing named input: x in 'inputs' object."),
    "uneven rows": (
        "POST",
        "/scale:predict",
        '{"instances": [[1], [1, 2]]}',
        BAD,
        f"{ELEMENT}1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor size: 1 but got: 2",
    ),
    "rows of other shapes": (
        "POST",
        "/scale:predict",
        '{"instances": [[[1, 2]], [[1], [2]]]}',
        BAD,
        f"{ELEMENT}1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting shape [1,2] but got: [2,1]",
    ),
    "an irregular list": (
        "POST",
        "/scale:predict",
        '{"inputs": [[1], [1, 2]]}',
        BAD,
        "Encountered list at unexpected size: 2 at level: 1 expected size: 1",
    ),
    "a list among values": (
        "POST",
        "/scale:predict",
        '{"inputs": [1, [2]]}',
        BAD,
        "Encountered list at unexpected level: 1 expected < 1",
    ),
    "a value among lists": (
        "POST",
        "/scale:predict",
        '{"inputs": [[1], 2]}',
        BAD,
        "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
    ),
    "lost precision": (
        "POST",
        "/scale:predict",
        '{"inputs": [16777217]}',
        BAD,
        "Cannot convert JSON value: 16777217 to float without loss of precision.",
    ),
    "a fraction for an integer": (
        "POST",
        "/echo:predict",
        json.dumps({"inputs": {**ECHO, "int32": [1.5, 1]}}),
        BAD,
        "JSON Value: 1.5 Type: Number is not of expected type: int32",
    ),
    "bad base64": ("POST", "/words:predict", '{"inputs": [{"b64": "!"}]}', BAD, "Unable to base64 decode"),
    "an object that is no base64": (
        "POST",
        "/words:predict",
        '{"inputs": [{"b65": ""}]}',
        BAD,
        'JSON Value: {\n    "b65": ""\n} not formatted correctly for base64 data',
    ),
    "a scalar in row form": (
        "POST",
        "/odd:predict",
        '{"instances": [1]}',
        BAD,
        "Tensor name: total has no shape information ",
    ),
    "an unknown signature": (
        "POST",
        "/scale:predict",
        '{"signature_name": "s", "inputs": [1]}',
        BAD,
        'Serving signature name: "s" not found in signature def',
    ),
    "an unknown model": (
        "POST",
        "/nobody:predict",
        '{"inputs": [1]}',
        404,
        "Servable not found for request: Latest(nobody)",
    ),
    "an unknown version": (
        "POST",
        "/scale/versions/9:predict",
        '{"inputs": [1]}',
        404,
        "Servable not found for request: Specific(scale, 9)",
    ),
    "an unknown label": (
        "POST",
        "/scale/labels/l:predict",
        '{"inputs": [1]}',
        BAD,
        "Unrecognized servable version label: l",
    ),
    "a method in capitals": (
        "POST",
        "/scale:PREDICT",
        '{"inputs": [1]}',
        BAD,
        "Malformed request: POST /v1/models/scale:PREDICT",
    ),
    "an unknown action": ("POST", "/scale:explain", "{}", BAD, "Malformed request: POST /v1/models/scale:explain"),
    "a query": ("POST", "/scale:predict?x=1", "{}", BAD, "Malformed request: POST /v1/models/scale:predict?x=1"),
    "a wrong method": ("PUT", "/scale:predict", "{}", BAD, "Malformed request: PUT /v1/models/scale:predict"),
    "predict by GET": ("GET", "/scale:predict", "", BAD, "Malformed request: GET /v1/models/scale:predict"),
    "status by POST": ("POST", "/scale", "{}", BAD, "Malformed request: POST /v1/models/scale"),
    "no name": ("GET", "", "", BAD, "Missing model name in request."),
    "status of an unknown model": ("GET", "/nobody", "", 404, "Could not find any versions of model nobody"),
    "status of an unknown version": ("GET", "/scale/versions/9", "", 404, "Could not find version 9 of model scale"),
    "metadata of an unknown model": (
        "GET",
        "/nobody/metadata",
        "",
        404,
        "Servable not found for request: Latest(nobody)",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_bad_request_is_refused_in_the_official_words(shared: RunningServer, case: str) -> None:
    """`{"error": …}` with the official status and text, to the letter; and the server goes on."""
    method, path, body, status, text = REFUSALS[case]
    answer = shared.http(method, f"/v1/models{path}", body.encode() or None)
    assert (answer.status, answer.json) == (status, {"error": text})
    assert shared.post("scale:predict", {"inputs": [1]}).json == {"outputs": [3.0]}
