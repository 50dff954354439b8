"""How a model comes in. `settings.training.trainer` names a `Trainer` as ``module:attribute``.

A trainer learns from rows and gives back an `Exportable`: anything that ``tf.saved_model.save`` takes, with its
signatures. Everything else (evaluation of what was exported, golden requests, warm-up, manifest, staging) is done
for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from roost.contracts.manifest import InputSpec, OutputSpec
from training.examples import Examples, Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Exportable:
    """A trained model that can be saved."""

    #: A ``tf.Module`` or a Keras model that owns the variables.
    module: object
    #: Signature name to concrete function. ``serving_default`` takes the schema's features by name, batch first, and
    #: gives `outputs` by name, batch first.
    signatures: Mapping[str, Callable[..., object]]
    #: What each output of ``serving_default`` means.
    outputs: tuple[OutputSpec, ...]
    #: The output to compare with the label: a probability for a classification, the value for a regression.
    answer: str
    #: Signatures of TF Serving's other methods, such as ``{"classify": "tensorflow/serving/classify"}``.
    methods: Mapping[str, str] = field(default_factory=dict)
    #: What clients may send, all inputs of ``serving_default``. Empty: it is read off the training rows
    #: (`training.declarations`), and what is unusual is answered with a warning.
    inputs: tuple[InputSpec, ...] = ()


class Trainer(Protocol):
    """What a user's own model must offer. Made without arguments, once a run."""

    def fit(self, examples: Examples, schema: Schema, *, seed: int) -> Exportable:
        """Learn from `examples`. The same rows and the same seed must give the same weights.

        Raises:
            TrainingRefused: the rows cannot give this kind of model; saying why.
        """
