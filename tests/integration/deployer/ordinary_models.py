"""Exports ordinary models, one directory each, below the directory that is named. Run in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

WORDS = ["a", "b", "c"]


def tabular() -> Any:
    airline = keras.Input((1,), dtype="string", name="airline")
    hour = keras.Input((1,), name="hour")
    day = keras.Input((1,), dtype="int64", name="day")
    norm = keras.layers.Normalization()
    norm.adapt(np.array([[1.0], [2.0]]))
    encoded = [
        keras.layers.StringLookup(vocabulary=WORDS, output_mode="one_hot")(airline),
        norm(hour),
        keras.layers.CategoryEncoding(num_tokens=8, output_mode="one_hot")(day),
        keras.layers.Flatten()(keras.layers.Embedding(8, 4)(day)),
    ]
    hidden = keras.layers.Dropout(0.1)(keras.layers.Dense(8, "relu")(keras.layers.concatenate(encoded)))
    hidden = keras.layers.BatchNormalization()(hidden)
    return keras.Model([airline, hour, day], keras.layers.Dense(1, "sigmoid", name="p")(hidden))


def vocabulary_file(directory: Path) -> Any:
    path = directory / "words.txt"
    path.write_text("\n".join(WORDS))
    text = keras.Input((), dtype="string", name="text")
    found = keras.layers.StringLookup(vocabulary=str(path), output_mode="one_hot")(text)
    return keras.Model(text, keras.layers.Dense(1)(found))


def text() -> Any:
    layer = keras.layers.TextVectorization(max_tokens=50, output_sequence_length=4)
    layer.adapt(np.array(["hello world", "good bye"]))
    words = keras.Input((), dtype="string", name="text")
    embedded = keras.layers.Embedding(50, 4)(layer(words))
    return keras.Model(words, keras.layers.Dense(1)(keras.layers.LSTM(4)(embedded)))


def attention() -> Any:
    tokens = keras.Input((6,), dtype="int32", name="tokens")
    embedded = keras.layers.Embedding(30, 8)(tokens)
    mixed = keras.layers.MultiHeadAttention(2, 4)(embedded, embedded)
    pooled = keras.layers.GlobalAveragePooling1D()(keras.layers.LayerNormalization()(mixed))
    gated = keras.layers.Bidirectional(keras.layers.GRU(3))(embedded)
    return keras.Model(tokens, keras.layers.Dense(2, "softmax")(keras.layers.concatenate([pooled, gated])))


def image() -> Any:
    pixels = keras.Input((16, 16, 3), name="pixels")
    hidden = keras.layers.Rescaling(1 / 255)(keras.layers.Resizing(8, 8)(pixels))
    hidden = keras.layers.Conv2D(4, 3, activation="gelu")(hidden)
    hidden = keras.layers.DepthwiseConv2D(2)(keras.layers.MaxPooling2D()(hidden))
    return keras.Model(pixels, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(hidden)))


class Written(tf.Module):
    """By hand: an example parser, an image decoder, a loop, a table, random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = tf.Variable(2.0)
        keys, values = tf.constant(WORDS), tf.constant([1.0, 2.0, 3.0])
        self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), 0.0)
        self.seen = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def classify(self, examples: Any) -> dict[str, Any]:
        features = {"w": tf.io.FixedLenFeature([], tf.string, ""), "v": tf.io.VarLenFeature(tf.float32)}
        parsed = tf.io.parse_example(examples, features)
        total = tf.sparse.reduce_sum(parsed["v"], axis=1)
        score = tf.constant(0.0)
        for step in tf.range(3):
            score = tf.cond(step > 1, lambda: score + 1.0, lambda: score)  # noqa: B023 (a graph's own loop)
        noise = tf.random.stateless_uniform([], [1, 2]) * 0.0
        return {"score": self.table.lookup(parsed["w"]) * self.weight + total + score + noise}

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="jpeg")])
    def pixels(self, jpeg: Any) -> dict[str, Any]:
        decoded = tf.io.decode_image(jpeg, expand_animations=False)
        return {"mean": tf.reduce_mean(tf.cast(decoded, tf.float32))}


def main(root: Path) -> None:
    for build in (tabular, text, attention, image):
        build().export(str(root / build.__name__), verbose=False)
    vocabulary_file(root).export(str(root / "vocabulary_file"), verbose=False)
    written = Written()
    tf.saved_model.save(
        written, str(root / "written"), signatures={"serving_default": written.classify, "pixels": written.pixels}
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
