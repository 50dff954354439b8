"""A manifest names every file of an artifact, or the artifact does not exist."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from roost.contracts.manifest import ArtifactManifest, InputSpec, ManifestFile, RunFacts, SignatureSpec, TensorSpec

SHA = "0" * 64


def file(path: str, size: int = 3) -> ManifestFile:
    return ManifestFile(path=path, size=size, sha256=SHA, crc32c="AAAAAA==")


def manifest(*files: ManifestFile) -> ArtifactManifest:
    return ArtifactManifest(
        customer="ua",
        model="default",
        files=files,
        signatures=(
            SignatureSpec(
                name="serving_default",
                inputs=(TensorSpec(name="distance", dtype="DT_FLOAT", shape=(-1,)),),
                outputs=(TensorSpec(name="late", dtype="DT_FLOAT", shape=(-1,)),),
            ),
        ),
        run=RunFacts(
            run_id="r1",
            trained_at=datetime(2026, 1, 1, tzinfo=UTC),
            code_version="1",
            seed=7,
            data_window=("2013-01-01", "2013-02-01"),
            rows_trained=10,
        ),
    )


def test_a_manifest_survives_its_own_bytes() -> None:
    made = manifest(file("saved_model.pb"), file("variables/variables.index"))
    assert ArtifactManifest.model_validate_json(made.encoded()) == made


def test_the_digest_changes_with_any_file() -> None:
    one = manifest(file("saved_model.pb", 3))
    other = manifest(file("saved_model.pb", 4))
    assert one.digest != other.digest
    assert one.digest == manifest(file("saved_model.pb", 3)).digest


def test_the_size_is_that_of_all_files() -> None:
    assert manifest(file("saved_model.pb", 3), file("a", 4)).size == 7


def test_a_signature_is_found_by_name() -> None:
    made = manifest(file("saved_model.pb"))
    assert made.signature("serving_default") is made.signatures[0]
    assert made.signature("other") is None


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../b", "a//b", "./a", ".", "..", "a\\b", "", "a b", "a/\n"])
def test_a_path_that_leaves_the_artifact_is_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        file(path)


def test_a_file_listed_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="more than once"):
        manifest(file("saved_model.pb"), file("saved_model.pb"))


def test_an_artifact_without_a_saved_model_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"saved_model\.pb is not listed"):
        manifest(file("a"))


def test_a_manifest_cannot_list_itself() -> None:
    with pytest.raises(ValidationError, match="cannot list itself"):
        manifest(file("saved_model.pb"), file("MANIFEST.json"))


def test_a_truncated_manifest_is_refused() -> None:
    with pytest.raises(ValidationError):
        ArtifactManifest.model_validate_json(manifest(file("saved_model.pb")).encoded()[:-40])


def declared(**changes: object) -> ArtifactManifest:
    spec = InputSpec.model_validate({"name": "distance", "dtype": "DT_FLOAT", "shape": (-1,), **changes})
    document = manifest(file("saved_model.pb")).model_dump()
    return ArtifactManifest.model_validate({**document, "inputs": (spec,)})


def test_an_artifact_without_declarations_keeps_the_bytes_and_the_digest_that_it_always_had() -> None:
    encoded = manifest(file("saved_model.pb")).encoded()
    assert b'"inputs": []' not in encoded
    assert ArtifactManifest.model_validate_json(encoded).encoded() == encoded


def test_declared_inputs_survive_their_own_bytes() -> None:
    made = declared(minimum=0.0, maximum=5000.0, required=False, nan=True, description="miles")
    assert ArtifactManifest.model_validate_json(made.encoded()) == made
    assert made.digest != manifest(file("saved_model.pb")).digest


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "else"}, "not those of signature"),
        ({"dtype": "DT_INT64"}, "not those of signature"),
        ({"dtype": "DT_STRING", "nan": True}, "has no NaN"),
        ({"dtype": "DT_INT64", "required": False}, "has no NaN"),
        ({"required": False}, "must allow the NaN"),
        ({"minimum": 2.0, "maximum": 1.0}, "minimum above"),
    ],
)
def test_a_declaration_that_cannot_hold_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        declared(**changes)
