"""What goes over the wire, as the OpenAPI page shows it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

#: What a caller may choose as id of a request: it stands in logs and in a header.
RequestId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._~:+-]{0,127}$")]


class Form(BaseModel):
    """One JSON object."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PredictionRequest(Form):
    """Rows to predict."""

    rows: list[dict[str, Any]] = Field(
        min_length=1, description="One object a row: input name to value. The manifest says which inputs there are."
    )
    request_id: RequestId | None = Field(default=None, description="Echoed in the answer and in the logs.")


class ProblemKind(StrEnum):
    """What is wrong with a value."""

    #: The request as a whole: not JSON, not of the form, too many rows.
    REQUEST = "request"
    #: A row that is no object.
    ROW = "row"
    #: A required input is left out, or null.
    MISSING = "missing"
    #: An input that the model does not have.
    UNKNOWN = "unknown"
    TYPE = "type"
    SHAPE = "shape"
    #: NaN or infinity where the model has no answer for it.
    NAN = "nan"
    #: Below or above what is declared.
    RANGE = "range"
    #: A text that is not among those declared.
    CATEGORY = "category"
    #: In a warning: the model's answer is not a number.
    OUTPUT = "output"


class Problem(Form):
    """One thing that is wrong, and where."""

    row: int | None = Field(default=None, description="Position in `rows`, from 0; none where it is the whole request.")
    field: str | None = None
    kind: ProblemKind
    message: str = Field(description="What it is, and what it should be, in words.")


class Refusal(Form):
    """Every refusal of this page. `error` alone is the form that the rest of the gateway's API has."""

    error: str
    request_id: str
    problems: list[Problem] = Field(default_factory=list, description="All that was found wrong, 100 at most.")
    more: bool = Field(default=False, description="Whether there are problems that are not listed.")


class AnsweredBy(Form):
    """The model that answered."""

    name: str = Field(description="Its served name: that of the page's customer, or of the cohort's default.")
    version: int
    label: str | None = Field(description="The label that was followed; none where the request named a version.")
    own: bool = Field(description="Whether it is the customer's own. False: the cohort's default answers for now.")
    cohort: str | None = Field(description="Whose default it is, where it is not the customer's own.")
    trained_on: str = Field(description="`own` data, or those of a `cohort`, where the own ones were too few.")


class Prediction(Form):
    """The answer to one row."""

    outputs: dict[str, Any] = Field(description="Output name to value; null for what is no number.")
    labels: dict[str, str | None] = Field(description="For each output that declares labels, the one that holds.")


class PredictionAnswer(Form):
    """One prediction a row, in the order of the rows."""

    request_id: str
    model: AnsweredBy
    predictions: list[Prediction]
    warnings: list[Problem] = Field(description="Values that are answered although they are unusual, 100 at most.")
