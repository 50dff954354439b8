"""The artifact manifest: what a training run exported, file by file, and what a client may send it.

`MANIFEST.json` is written last. An artifact without one does not exist; an artifact that differs from it is refused.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from roost.contracts.ids import CustomerId, ModelId, RunId

MANIFEST_NAME: Final = "MANIFEST.json"
SAVED_MODEL_NAME: Final = "saved_model.pb"
#: Requests recorded at export with the answers that the exported model gave: JSON lines of `GoldenCase`.
GOLDEN_NAME: Final = "roost/golden.jsonl"
#: Labelled rows of the later time slice, never trained on: JSON lines of `HoldoutRow`.
HOLDOUT_NAME: Final = "roost/holdout.jsonl"
#: TensorFlow Serving's own warm-up file.
WARMUP_NAME: Final = "assets.extra/tf_serving_warmup_requests"


class Frozen(BaseModel):
    """A value that is checked when it is made, never changes, and refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def received(cls, content: bytes | str) -> Self:
        """A document of another process, of this release or a newer one. What is made here stays strict.

        Fields that this release does not know are left out, at every depth.

        Raises:
            ValidationError: something known is missing or wrong.
        """
        return cls.model_validate_json(content, extra="ignore")


def _relative_path(value: str) -> str:
    if value.startswith(("/", "..")) or value == "." or "\\" in value or posixpath.normpath(value) != value:
        raise ValueError(f"{value!r} is not a plain relative path")
    return value


RelativePath = Annotated[
    str,
    StringConstraints(min_length=1, max_length=512, pattern=r"^[A-Za-z0-9_./=+-]+$"),
    AfterValidator(_relative_path),
]


class ManifestFile(Frozen):
    """One file of an artifact."""

    path: RelativePath
    #: Bytes.
    size: int = Field(ge=0)
    #: Lower-case hexadecimal.
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    #: Castagnoli CRC of the content, base64 of the big-endian bytes, as Google Cloud Storage reports it.
    crc32c: str


class TensorSpec(Frozen):
    """Name, type and shape of one tensor of a signature."""

    name: str
    #: TensorFlow's name of the type, such as ``DT_FLOAT`` or ``DT_STRING``.
    dtype: str
    #: Dimensions; -1 where the size is free. None where the rank is unknown.
    shape: tuple[int, ...] | None = None


class SignatureSpec(Frozen):
    """One signature of a SavedModel."""

    name: str
    method: str = "tensorflow/serving/predict"
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class InputSpec(Frozen):
    """What a client may send as one input of ``serving_default``. Wrong types and shapes are always refused."""

    name: str
    #: TensorFlow's name of the type, such as ``DT_FLOAT`` or ``DT_STRING``.
    dtype: str
    #: Dimensions, the batch first; -1 where the size is free.
    shape: tuple[int, ...] | None = None
    #: False: a row may leave it out, or say null, and the model takes NaN in its place.
    required: bool = True
    #: Whether NaN is a value that the model has an answer for.
    nan: bool = False
    minimum: float | None = None
    maximum: float | None = None
    #: Texts that training saw. Empty: any.
    categories: tuple[str, ...] = ()
    #: What a value out of range, or a text that is no category, leads to: ``enforce`` refuses it, ``warn`` answers
    #: and says so.
    bounds: Literal["enforce", "warn"] = "warn"
    description: str = ""

    @model_validator(mode="after")
    def _is_sound(self) -> InputSpec:
        floating = self.dtype in {"DT_HALF", "DT_FLOAT", "DT_DOUBLE"}
        if not floating and (self.nan or not self.required):
            raise ValueError(f"input {self.name} is {self.dtype}, which has no NaN: it is required")
        if not self.required and not self.nan:
            raise ValueError(f"input {self.name} may be left out, so it must allow the NaN that stands for it")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"input {self.name} has a minimum above its maximum")
        return self


class OutputSpec(Frozen):
    """What an output means: its declared range, labels and decision threshold.

    With two labels and one number a row, the second label holds from `threshold` (0.5 where None) upwards. With as many
    numbers a row as labels, the largest decides; below `threshold`, where there is one, none does.
    """

    name: str
    minimum: float | None = None
    maximum: float | None = None
    labels: tuple[str, ...] = ()
    threshold: float | None = None


class RunFacts(Frozen):
    """Where an artifact comes from."""

    run_id: RunId
    trained_at: AwareDatetime
    code_version: str
    seed: int
    #: First and last instant of the data seen, ISO 8601, last excluded.
    data_window: tuple[str, str]
    rows_trained: int = Field(ge=0)
    #: Evaluation on the later time slice, and the baseline's, such as ``log_loss`` and ``baseline_log_loss``.
    metrics: dict[str, float] = Field(default_factory=dict)
    #: ``own`` data, or a ``cohort`` of customers where the own data were too few.
    scope: Literal["own", "cohort"] = "own"
    #: Customers whose data were pooled. Empty for ``own``.
    cohort: tuple[str, ...] = ()


class ArtifactManifest(Frozen):
    """Everything that the deployer needs to know of an artifact before it opens a file of it."""

    schema_version: Literal[1] = 1
    customer: CustomerId
    model: ModelId
    files: tuple[ManifestFile, ...] = Field(min_length=1)
    signatures: tuple[SignatureSpec, ...] = Field(min_length=1)
    #: What clients may send to ``serving_default``. Empty in artifacts that declare nothing: then its signature counts.
    inputs: tuple[InputSpec, ...] = ()
    outputs: tuple[OutputSpec, ...] = ()
    run: RunFacts

    @model_validator(mode="after")
    def _files_are_unique_and_complete(self) -> ArtifactManifest:
        paths = [file.path for file in self.files]
        if len(set(paths)) != len(paths):
            raise ValueError("a file is listed more than once")
        if SAVED_MODEL_NAME not in paths:
            raise ValueError(f"{SAVED_MODEL_NAME} is not listed")
        if MANIFEST_NAME in paths:
            raise ValueError(f"{MANIFEST_NAME} cannot list itself")
        return self

    @model_validator(mode="after")
    def _inputs_are_those_of_the_signature(self) -> ArtifactManifest:
        default = self.signature("serving_default")
        if not self.inputs or default is None:
            return self
        declared = sorted((spec.name, spec.dtype) for spec in self.inputs)
        if declared != sorted((spec.name, spec.dtype) for spec in default.inputs):
            raise ValueError("the declared inputs are not those of signature serving_default, by name and type")
        return self

    def encoded(self) -> bytes:
        """The bytes of `MANIFEST.json`: JSON with sorted keys, so that equal manifests are equal bytes."""
        document = self.model_dump(mode="json")
        if not self.inputs:
            # Artifacts from before there were declarations keep their bytes, and so their digest.
            del document["inputs"]
        return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"

    @property
    def digest(self) -> str:
        """Identity of the artifact: sha256 over the encoded manifest, which holds every file's own sha256."""
        return digest_of(self.encoded())

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    def signature(self, name: str) -> SignatureSpec | None:
        """The signature of that name, if the model has it."""
        return next((signature for signature in self.signatures if signature.name == name), None)


class GoldenCase(Frozen):
    """One recorded request in TensorFlow Serving's columnar form, and the answer that the exported model gave."""

    signature: str = "serving_default"
    #: Input name to nested list, first dimension the batch.
    inputs: dict[str, list[object]]
    #: Output name to nested list, as the model answered at export.
    outputs: dict[str, list[object]]


class HoldoutRow(Frozen):
    """One labelled row that training never saw."""

    inputs: dict[str, object]
    label: float
    at: datetime | None = None


def digest_of(content: bytes) -> str:
    """``sha256:<hex>`` of `content`."""
    return "sha256:" + hashlib.sha256(content).hexdigest()
