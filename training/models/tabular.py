"""The bundled model: a small network over text and numbers that says how likely the label is 1.

Preprocessing is part of the graph, so that a request carries plain values: texts are looked up in the vocabulary that
training saw (others share one place of their own), numbers are scaled to mean 0 and deviation 1, missing numbers (NaN)
count as the mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from roost.contracts.manifest import OutputSpec
from training.examples import Array, Examples, Feature, Schema, TrainingRefused
from training.models import Exportable

OUTPUT: Final = "probability"
_HIDDEN: Final = 32
#: Passes over the rows; with the penalty below, small customers are not learnt by heart (measured on all airlines).
_EPOCHS: Final = 10
_PENALTY: Final = 1e-3
_RATE: Final = 1e-3


class TabularClassifier:
    """`Trainer` of a binary classification."""

    def fit(self, examples: Examples, schema: Schema, *, seed: int) -> Exportable:
        """Learn by a fixed number of seeded steps."""
        if schema.task != "classification" or len(schema.labels) != 2:
            raise TrainingRefused(f"TabularClassifier needs two labels; the schema asks for a {schema.task}")
        if any(feature.kind == "vector" for feature in schema.features):
            raise TrainingRefused("TabularClassifier takes text and number features; a vector needs another trainer")
        import keras

        keras.utils.set_random_seed(seed)
        module = _module(schema.features, examples)
        encoded = module.encode(_tensors(examples.features)).numpy()
        module.take(_learnt(encoded, examples.label, seed=seed))
        return Exportable(
            module=module,
            signatures=_signatures(module, schema),
            outputs=(OutputSpec(name=OUTPUT, minimum=0.0, maximum=1.0, labels=schema.labels, threshold=0.5),),
            answer=OUTPUT,
            methods={"classify": "tensorflow/serving/classify"},
        )


def _learnt(encoded: Array, label: Array, *, seed: int) -> list[Array]:
    """Weights after seeded passes over the rows with Adam: kernel and bias of the hidden layer, then of the output.

    Keras' own `fit` would spend longer on its set-up than on the steps.
    """
    import keras
    import tensorflow as tf

    penalty = keras.regularizers.L2(_PENALTY)
    core = keras.Sequential(
        [
            keras.Input((encoded.shape[1],)),
            keras.layers.Dense(_HIDDEN, activation="relu", kernel_regularizer=penalty),
            keras.layers.Dense(1, kernel_regularizer=penalty),
        ]
    )
    batch = min(512, max(32, len(label) // 100))
    optimizer = keras.optimizers.Adam(_RATE * float(np.sqrt(batch / 64)))
    optimizer.build(core.trainable_variables)

    @tf.function  # type: ignore[untyped-decorator] # TensorFlow ships no types
    def step(rows: Any, answers: Any) -> None:
        with tf.GradientTape() as tape:
            errors = tf.nn.sigmoid_cross_entropy_with_logits(labels=answers, logits=core(rows, training=True)[:, 0])
            loss = tf.reduce_mean(errors) + tf.add_n(core.losses)
        optimizer.apply(tape.gradient(loss, core.trainable_variables))

    shuffled = np.random.default_rng(seed)
    for _ in range(_EPOCHS):
        order = shuffled.permutation(len(label))
        for start in range(0, max(1, len(order) - batch + 1), batch):
            chosen = order[start : start + batch]
            step(tf.constant(encoded[chosen]), tf.constant(label[chosen]))
    return [np.asarray(weight) for weight in core.get_weights()]


def _module(features: tuple[Feature, ...], examples: Examples) -> Any:
    import keras
    import tensorflow as tf

    class Tabular(tf.Module):  # type: ignore[misc] # TensorFlow ships no types
        """Lookups, scaling and the network, in one graph."""

        def __init__(self) -> None:
            super().__init__(name="tabular")
            self.lookups = {
                feature.name: keras.layers.StringLookup(
                    vocabulary=sorted(set(examples.features[feature.name])),
                    num_oov_indices=1,
                    output_mode="one_hot",
                    name=f"lookup_{feature.name}",
                )
                for feature in features
                if feature.kind == "text"
            }
            self.numbers = [feature.name for feature in features if feature.kind == "number"]
            columns = [examples.features[name] for name in self.numbers]
            self.mean = tf.constant([_mean(column) for column in columns], tf.float32)
            self.deviation = tf.constant([_deviation(column) for column in columns], tf.float32)
            self.weights: list[Any] = []

        def take(self, weights: list[Array]) -> None:
            """Serve with these weights, as TensorFlow's own variables: Keras' wrappers do not survive every loader."""
            self.weights = [
                tf.Variable(weight, trainable=False, name=f"weight_{index}") for index, weight in enumerate(weights)
            ]

        def encode(self, raw: Mapping[str, Any]) -> Any:
            """One row of numbers for each request."""
            parts = [tf.cast(lookup(raw[name]), tf.float32) for name, lookup in self.lookups.items()]
            if self.numbers:
                stacked = tf.stack([raw[name] for name in self.numbers], axis=1)
                scaled = (stacked - self.mean) / self.deviation
                parts.append(tf.where(tf.math.is_nan(scaled), tf.zeros_like(scaled), scaled))
            return tf.concat(parts, axis=1)

        def probability(self, raw: Mapping[str, Any]) -> Any:
            """Chance of label 1, one a row."""
            kernel, bias, out_kernel, out_bias = self.weights
            hidden = tf.nn.relu(tf.matmul(self.encode(raw), kernel) + bias)
            return tf.sigmoid(tf.matmul(hidden, out_kernel) + out_bias)[:, 0]

    return Tabular()


def _signatures(module: Any, schema: Schema) -> dict[str, Any]:
    import tensorflow as tf

    labels = tf.constant([schema.labels])
    specs = {
        feature.name: tf.TensorSpec([None], tf.string if feature.kind == "text" else tf.float32, name=feature.name)
        for feature in schema.features
    }
    parsed = {
        feature.name: tf.io.FixedLenFeature([], tf.string, "")
        if feature.kind == "text"
        else tf.io.FixedLenFeature([], tf.float32, float("nan"))
        for feature in schema.features
    }

    @tf.function  # type: ignore[untyped-decorator] # TensorFlow ships no types
    def predict(**raw: Any) -> dict[str, Any]:
        return {OUTPUT: module.probability(raw)}

    @tf.function  # type: ignore[untyped-decorator] # TensorFlow ships no types
    def classify(inputs: Any) -> dict[str, Any]:
        chance = module.probability(tf.io.parse_example(inputs, parsed))
        rows = tf.shape(chance)[0]
        return {"classes": tf.tile(labels, [rows, 1]), "scores": tf.stack([1.0 - chance, chance], axis=1)}

    return {
        "serving_default": predict.get_concrete_function(**specs),
        "classify": classify.get_concrete_function(tf.TensorSpec([None], tf.string, name="inputs")),
    }


def _tensors(features: Mapping[str, Array]) -> dict[str, Any]:
    import tensorflow as tf

    return {name: tf.constant(column) for name, column in features.items()}


def _mean(column: Array) -> float:
    return float(np.nanmean(column)) if not np.all(np.isnan(column)) else 0.0


def _deviation(column: Array) -> float:
    spread = float(np.nanstd(column)) if not np.all(np.isnan(column)) else 0.0
    return spread if spread > 0 else 1.0
