"""Models as users may bring them, named in the settings as `tests.integration.training.own_models:NAME`."""

from __future__ import annotations

from typing import Any

import numpy as np

from roost.contracts.manifest import OutputSpec
from training.examples import Examples, Schema
from training.models import Exportable


class LeastSquares:
    """A regression over one vector, solved in closed form: a plain `tf.Module` of another shape than the bundled one."""

    def fit(self, examples: Examples, schema: Schema, *, seed: int) -> Exportable:
        import tensorflow as tf

        (feature,) = schema.features
        rows = np.concatenate([examples.features[feature.name], np.ones((len(examples), 1), np.float32)], axis=1)
        solved, *_ = np.linalg.lstsq(rows, examples.label, rcond=None)
        module = tf.Module()
        module.weights = tf.Variable(solved.astype(np.float32)[:, None])

        @tf.function
        def serve(**raw: Any) -> dict[str, Any]:
            vector = raw[feature.name]
            return {"minutes": tf.matmul(vector, module.weights[:-1])[:, 0] + module.weights[-1, 0]}

        spec = tf.TensorSpec([None, feature.size], tf.float32, name=feature.name)
        return Exportable(
            module=module,
            signatures={"serving_default": serve.get_concrete_function(**{feature.name: spec})},
            outputs=(OutputSpec(name="minutes"),),
            answer="minutes",
        )


class PlainKeras:
    """A Keras model, handed over as it is: its variables are Keras' own."""

    def fit(self, examples: Examples, schema: Schema, *, seed: int) -> Exportable:
        import keras
        import tensorflow as tf

        keras.utils.set_random_seed(seed)
        (feature,) = schema.features
        model = keras.Sequential([keras.Input((feature.size,)), keras.layers.Dense(1)])
        model.compile(optimizer=keras.optimizers.Adam(0.1), loss="mse", jit_compile=False)
        model.fit(examples.features[feature.name], examples.label, epochs=20, batch_size=64, verbose=0)

        @tf.function
        def serve(**raw: Any) -> dict[str, Any]:
            return {"minutes": model(raw[feature.name])[:, 0]}

        spec = tf.TensorSpec([None, feature.size], tf.float32, name=feature.name)
        return Exportable(
            module=model,
            signatures={"serving_default": serve.get_concrete_function(**{feature.name: spec})},
            outputs=(OutputSpec(name="minutes"),),
            answer="minutes",
        )


class _Constant:
    """Answers one number under names of its own."""

    answer = "minutes"
    names: tuple[str, ...] | None = None
    value = 0.0

    def fit(self, examples: Examples, schema: Schema, *, seed: int) -> Exportable:
        import tensorflow as tf

        (feature,) = schema.features
        value = self.value

        @tf.function
        def serve(**raw: Any) -> dict[str, Any]:
            (vector,) = raw.values()
            return {"minutes": vector[:, 0] * 0.0 + value}

        name = (self.names or (feature.name,))[0]
        spec = tf.TensorSpec([None, feature.size], tf.float32, name=name)
        return Exportable(
            module=tf.Module(),
            signatures={"serving_default": serve.get_concrete_function(**{name: spec})},
            outputs=(OutputSpec(name="minutes"),),
            answer=self.answer,
        )


class AnswersNaN(_Constant):
    value = float("nan")


class OtherInputs(_Constant):
    names = ("something_else",)


class NoSuchOutput(_Constant):
    answer = "hours"
