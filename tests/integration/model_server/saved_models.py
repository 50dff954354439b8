"""Writes the small SavedModels that the conformance tests serve. Run as a program: it alone imports TensorFlow.

`python saved_models.py DIRECTORY` gives DIRECTORY/<model>/<version>/.
"""

# ruff: noqa: ANN001, PLR0917  (TensorFlow itself types these arguments, by the signature above each)

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
from inference import graph_models
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

SPEC = tf.TensorSpec


def _save(module: tf.Module, directory: Path, **signatures: object) -> None:
    tf.saved_model.save(module, str(directory), signatures=signatures)


class Scale(tf.Module):
    """y = factor * x."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = tf.Variable(factor)

    @tf.function(input_signature=[SPEC([None], tf.float32)])
    def scale(self, x):
        return {"y": x * self.factor}

    @tf.function(input_signature=[SPEC([None], tf.float32)])
    def both(self, x):
        return {"y": x * self.factor, "negative": -x * self.factor}


class Echo(tf.Module):
    """Gives back one input of each dtype that predictions use."""

    @tf.function(
        input_signature=[
            SPEC([None, 2], tf.float64),
            SPEC([None], tf.int32),
            SPEC([None], tf.int64),
            SPEC([None], tf.uint8),
            SPEC([None], tf.bool),
            SPEC([None], tf.string),
            SPEC([None], tf.string),
        ]
    )
    def echo(self, double, int32, int64, uint8, flag, text, blob):
        return {
            "double": tf.identity(double),
            "int32": tf.identity(int32),
            "int64": tf.identity(int64),
            "uint8": tf.identity(uint8),
            "flag": tf.identity(flag),
            "text": tf.identity(text),
            "blob_bytes": tf.identity(blob),
        }


class Odd(tf.Module):
    """What ordinary models rarely do: an output without a batch, a loop, an error while it runs."""

    @tf.function(input_signature=[SPEC([None], tf.float32)])
    def total(self, x):
        return {"total": tf.reduce_sum(x)}

    @tf.function(input_signature=[SPEC([None], tf.float32)])
    def loop(self, x):
        return {"y": tf.map_fn(lambda each: tf.while_loop(lambda v: v < 100.0, lambda v: (v * 2.0,), (each,))[0], x)}

    @tf.function(input_signature=[SPEC([None], tf.float32)])
    def divide(self, x):
        return {"y": 1 // tf.cast(x, tf.int32)}


class Slow(tf.Module):
    """Counts, one by one: some microseconds each."""

    @tf.function(input_signature=[SPEC([None], tf.float32)])
    def count(self, x):
        steps = tf.reduce_sum(x)
        counted = tf.while_loop(lambda n: n < steps, lambda n: (n + 1.0,), (tf.constant(0.0),))[0]
        return {"y": x - x + counted}


class Vocabulary(tf.Module):
    """Looks words up in a table that is filled from an asset."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        words = directory / "words.txt"
        words.write_text("alpha\nbeta\n")
        filler = tf.lookup.TextFileInitializer(
            str(words), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        )
        self.table = tf.lookup.StaticHashTable(filler, -1)

    @tf.function(input_signature=[SPEC([None], tf.string)])
    def look_up(self, word):
        return {"index": self.table.lookup(word)}


def _keras(directory: Path) -> None:
    keras = tf.keras
    carrier = keras.Input((1,), dtype="string", name="carrier")
    hour = keras.Input((1,), dtype="float32", name="hour")
    one_hot = keras.layers.StringLookup(vocabulary=["UA", "AA", "OO"], output_mode="one_hot")(carrier)
    normal = keras.layers.Normalization(mean=12.0, variance=9.0)(hour)
    joined = keras.layers.Concatenate()([one_hot, normal])
    late = keras.layers.Dense(1, activation="sigmoid", kernel_initializer="ones", name="late")(joined)
    model = keras.Model({"carrier": carrier, "hour": hour}, late)
    model.export(str(directory), verbose=False)
    given = {"carrier": np.array([["UA"], ["ZZ"]]), "hour": np.array([[6.0], [18.0]], dtype=np.float32)}
    np.save(directory.parent / "expected.npy", model({key: tf.constant(value) for key, value in given.items()}).numpy())


def _warm_up(version: Path, signature: str) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "any"
    request.model_spec.signature_name = signature
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0], dtype=tf.float32))
    log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
    (version / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(str(version / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        writer.write(log.SerializeToString())


def main(root: Path) -> None:
    """Write them all."""
    for version in (1, 2, 3):
        module = Scale(float(version))
        _save(module, root / "scale" / str(version), serving_default=module.scale, both=module.both)
    echo, odd, words = Echo(), Odd(), Vocabulary(root)
    _save(echo, root / "echo" / "1", serving_default=echo.echo)
    _save(odd, root / "odd" / "7", serving_default=odd.total, loop=odd.loop, divide=odd.divide)
    _save(words, root / "words" / "1", serving_default=words.look_up)
    slow = Slow()
    _save(slow, root / "slow" / "1", serving_default=slow.count)
    _keras(root / "keras" / "1")
    for name, signature in (("warm", "serving_default"), ("cold", "no_such_signature")):
        module = Scale(1.0)
        _save(module, root / name / "1", serving_default=module.scale)
        _warm_up(root / name / "1", signature)
    graph_models.main(root)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
