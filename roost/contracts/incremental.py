"""Documents that list thousands of models, of which the next one changes a few: only these are made anew.

A pool's desired state and a node's answer list every model of the pool. To parse, or to encode, five thousand of them
takes about 100 ms of processor time, in the midst of a promotion of one.
"""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar, cast

from pydantic import ValidationError
from pydantic_core import from_json

from roost.contracts.acks import NodeModel, NodeState
from roost.contracts.desired import DesiredModel, DesiredState, compact

DocumentT = TypeVar("DocumentT", bound=DesiredState | NodeState)

_MODELS: Final = "models"


class Parser(Generic[DocumentT]):
    """Parses documents of one kind from one source, as `received` does. Safe for threads.

    A model whose JSON is as it was in the document before is the same object as there.
    """

    def __init__(self, kind: type[DocumentT]) -> None:
        """Nothing has been parsed yet."""
        self._kind = kind
        self._item: type[DesiredModel | NodeModel] = DesiredModel if kind is DesiredState else NodeModel
        #: Each model's JSON and what was made of it, by served name.
        self._known: dict[str, tuple[Any, DesiredModel | NodeModel]] = {}

    def received(self, content: bytes) -> DocumentT:
        """The document.

        Raises:
            ValidationError: something known is missing or wrong. The next document is parsed all the same.
        """
        try:
            document = from_json(content)
            known = {listed["name"]: (listed, self._made(listed)) for listed in document[_MODELS]}
            rest = self._kind.model_validate({**document, _MODELS: ()}, extra="ignore")
        except (ValidationError, ValueError, TypeError, KeyError):
            # Whatever is wrong with it, this says it in the usual words.
            return cast("DocumentT", self._kind.received(content))
        names = [listed["name"] for listed in document[_MODELS]]
        if names != sorted(known):
            return cast("DocumentT", self._kind.received(content))
        self._known = known
        # Models are checked as they are made; another check of all of them would take as long as making them.
        return cast("DocumentT", rest.model_copy(update={_MODELS: tuple(model for _, model in known.values())}))

    def _made(self, listed: Any) -> DesiredModel | NodeModel:
        known = self._known.get(listed["name"])
        return known[1] if known and known[0] == listed else self._item.model_validate(listed, extra="ignore")


class Encoder:
    """Encodes a pool's desired states one after the other, each as `DesiredState.encoded` does. For one thread."""

    def __init__(self) -> None:
        """Nothing has been encoded yet."""
        self._known: dict[str, tuple[DesiredModel, str]] = {}

    def encoded(self, state: DesiredState) -> bytes:
        """Bytes of `desired.json`. A model that is the same object as in the state before is not encoded again."""
        self._known = {model.name: (model, self._text(model)) for model in state.models}
        document = state.model_copy(update={_MODELS: ()}).model_dump(mode="json")
        texts = {key: compact(value) for key, value in document.items()}
        texts[_MODELS] = "[" + ",".join(text for _, text in self._known.values()) + "]"
        return ("{" + ",".join(f'"{key}":{texts[key]}' for key in sorted(texts)) + "}\n").encode()

    def _text(self, model: DesiredModel) -> str:
        known = self._known.get(model.name)
        return known[1] if known and known[0] is model else compact(model.model_dump(mode="json"))
