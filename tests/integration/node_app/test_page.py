"""The page on a real node, through its real gateway: who may ask, what is refused, and which version answers."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass

import httpx
import pytest

from serving.gateway.shares import label_for
from tests.integration.node.world import eventually
from tests.integration.node_app.world import Town, a_row

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

PATH = "/v1/customers/ua/models/default:predict"
GOOD = json.dumps({"rows": [a_row()]}).encode()


def test_a_customer_is_answered_by_their_own_model_with_its_labels(town: Town):
    response = town.ask("ua", a_row(hour=18), a_row(hour=6, temp=None), request_id="order-17")

    answer = response.json()
    assert response.status_code == 200, answer
    assert answer["model"] == {
        "name": "ua.default",
        "version": answer["model"]["version"],
        "label": "stable",
        "own": True,
        "cohort": None,
        "trained_on": "own",
    }
    assert [one["labels"]["probability"] for one in answer["predictions"]] == ["late", "on time"]
    assert answer["predictions"][0]["outputs"]["probability"] == pytest.approx(0.75, abs=1e-4)
    assert answer["request_id"] == response.headers["x-roost-request-id"] == "order-17"
    assert response.headers["x-request-id"]


def test_a_customer_without_a_model_is_answered_by_the_default_of_the_cohort(town: Town):
    model = town.ask("just-signed-up").json()["model"]

    assert (model["own"], model["cohort"], model["name"]) == (False, "everyone", "everyone.default")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    status: int
    words: str
    path: str = PATH
    body: bytes = GOOD
    token: str = "all"


def rows(*found: object) -> bytes:
    return json.dumps({"rows": found}).encode()


BAD = {
    "malformed JSON": Bad(status=400, words="is not JSON", body=b'{"rows": [{'),
    "no rows": Bad(status=400, words="rows is not of the form", body=b'{"instances": []}'),
    "wrong type in row 3": Bad(
        status=422,
        words='row 3: distance is "far", where a number is needed',
        body=rows(*[a_row()] * 3, a_row(distance="far")),
    ),
    "missing feature": Bad(status=422, words="row 0: hour is missing", body=rows({**a_row(), "hour": None})),
    "unknown field": Bad(
        status=422, words="row 1: gate is no input of this model", body=rows(a_row(), a_row(gate="B7"))
    ),
    "NaN": Bad(status=422, words="row 0: distance is no finite number", body=rows(a_row(distance=float("nan")))),
    "out of an enforced range": Bad(status=422, words="row 0: hour is 24, outside 0 to 23", body=rows(a_row(hour=24))),
    "too many rows": Bad(status=422, words="rows holds 51 rows, and 50 are taken", body=rows(*[a_row()] * 51)),
    "too large": Bad(status=413, words="", body=b" " * 1_200_000 + GOOD),
    "a version that is not there": Bad(
        status=404, words="has no version 7", path="/v1/customers/ua/models/default/versions/7:predict"
    ),
    "a version that the token may not choose": Bad(
        status=403,
        words="not for the caller to choose",
        path="/v1/customers/ua/models/default/versions/1:predict",
        token="held",
    ),
    "a label that the token may not choose": Bad(
        status=403,
        words="not for the caller to choose",
        path="/v1/customers/ua/models/default/labels/x:predict",
        token="held",
    ),
    "no model and no default": Bad(
        status=404, words="alone.default has no model here", path="/v1/customers/alone/models/default:predict"
    ),
    "unknown model": Bad(status=404, words="ua.other has no model here", path="/v1/customers/ua/models/other:predict"),
    "traversal": Bad(status=400, words="", path="/v1/customers/..%2f..%2fdl/models/default:predict"),
    # The gateway reads the path as it goes on, so a token counts for where it leads.
    "traversal by dots": Bad(
        status=403,
        words="does not open this model",
        path="/v1/customers/ua/../dl/models/default:predict",
        token="ua",
    ),
    "a served name as id": Bad(status=404, words="does not answer", path="/v1/customers/ua.default/models/x:predict"),
    "no token": Bad(status=401, words="Jwt is missing", token="none"),
    "expired token": Bad(status=401, words="expired", token="expired"),
    "another customer's token": Bad(status=403, words="does not open this model", token="dl"),
    "another customer's path": Bad(
        status=403,
        words="does not open this model",
        path="/v1/customers/dl/models/default:predict",
        token="ua",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_each_bad_request_is_refused_in_its_words_and_the_next_one_is_answered(town: Town, case: str):
    bad = BAD[case]
    tokens = {
        "all": town.token(),
        "none": None,
        "expired": town.token(lifetime=-1),
        "held": town.token(("ua",), labels=()),
    }
    token = tokens[bad.token] if bad.token in tokens else town.token((bad.token,))

    refused = town.post(bad.path, bad.body, token=token)
    answered = town.post(PATH, GOOD, token=town.token(("ua",)))

    assert refused.status_code == bad.status, refused.text
    assert bad.words in refused.json()["error"]
    assert answered.status_code == 200, answered.text


def test_the_description_is_complete_and_read_by_a_browser_which_has_no_token(town: Town):
    root = f"http://{town.node.address.rest}"

    page = httpx.get(f"{root}/v1/docs", trust_env=False, timeout=60)
    document = httpx.get(f"{root}/v1/openapi.json", trust_env=False, timeout=60)
    script = httpx.get(f"{root}/v1/docs-assets/swagger-ui-bundle.js", trust_env=False, timeout=60)
    # What stands behind the description needs one still, however the path is written.
    for path in ("/v1/docs/%2e%2e/customers/ua/models/default:predict", "/v1/docs/%2e%2e/models/ua.default:predict"):
        assert httpx.post(f"{root}{path}", content=GOOD, trust_env=False, timeout=60).status_code == 401

    assert (page.status_code, document.status_code, script.status_code) == (200, 200, 200)
    assert "https://" not in page.text
    assert next(iter(document.json()["paths"])) == "/v1/customers/{customer}/models/{model}:predict"


def test_one_key_is_on_one_side_on_the_page_and_on_the_model_servers_own_api(town: Town):
    town.fleet.put("ab.default", 1, "first")
    town.fleet.put("ab.default", 2, "second")
    others = {name: ([1], {"stable": 1}) for name in ("ua.default", "private.default", "plain.default")}
    others |= {"everyone.default": ([1], {"stable": 1}), "ab.default": ([1, 2], {"stable": 2, "previous": 1})}
    keys = [f"user-{number}" for number in range(12)]
    sides = {key: label_for("ab.default", key.encode(), {"previous": 50}, otherwise="stable") for key in keys}
    early = next(key for key in keys if sides[key] == "previous")
    token, body = town.token(("ab",)), json.dumps({"instances": [a_row()]}).encode()

    def by_rest(key: str) -> str:
        answer = town.post("/v1/models/ab.default:predict", body, token=token, key=key)
        assert answer.status_code == 200, answer.text
        return answer.headers["x-roost-label"]

    town.node.settle(town.fleet.desire(others, {"ab.default": {"previous": 50}}))
    eventually(lambda: by_rest(early) == "previous", "the gateway follows the split")
    answers = {key: town.post("/v1/customers/ab/models/default:predict", GOOD, token=token, key=key) for key in keys}

    assert {key: answer.headers["x-roost-label"] for key, answer in answers.items()} == sides
    assert {key: by_rest(key) for key in keys} == sides
    versions = {"stable": 2, "previous": 1}
    assert {key: answer.json()["model"]["version"] for key, answer in answers.items()} == {
        key: versions[label] for key, label in sides.items()
    }


def test_each_answer_is_read_by_the_manifest_of_its_own_version_while_labels_flip(town: Town):
    """Version and labels must belong together in every answer, and none may fail, whichever way the label moves."""
    town.fleet.put("flip.default", 1, "first", labels=("v1 no", "v1 yes"))
    town.fleet.put("flip.default", 2, "second", labels=("v2 no", "v2 yes"))
    others = {name: ([1], {"stable": 1}) for name in ("ua.default", "private.default", "plain.default")}
    others |= {"everyone.default": ([1], {"stable": 1})}
    generations = [([1], {"stable": 1}), ([1, 2], {"stable": 1}), ([1, 2], {"stable": 2}), ([1, 2], {"stable": 1})]
    seen: set[int] = set()
    answered: set[int] = set()
    wrong: list[object] = []
    done = threading.Event()
    town.node.settle(town.fleet.desire(others | {"flip.default": generations[0]}))

    def load() -> None:
        while not done.is_set():
            response = town.ask("flip", a_row(hour=18))
            answer = response.json()
            version = answer.get("model", {}).get("version")
            expected = {1: "v1 yes", 2: "v2 no"}.get(version)
            if response.status_code != 200 or answer["predictions"][0]["labels"]["probability"] != expected:
                wrong.append(answer)
            seen.add(version)

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    for versions, labels in [*generations[1:], *generations[2:]]:
        town.node.settle(town.fleet.desire(others | {"flip.default": (versions, labels)}))
        seen.clear()
        # Else a busy machine's load might not ask once while a label stands.
        eventually(lambda stable=labels["stable"]: stable in seen or bool(wrong), "the version answers")
        answered |= seen
    done.set()
    for thread in threads:
        thread.join(120)

    assert wrong == []
    assert answered == {1, 2}
