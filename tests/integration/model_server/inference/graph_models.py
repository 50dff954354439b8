"""Makers of SavedModels as TensorFlow 1 wrote them, and of TF2 ones with what the plain ones lack.

`census` has what an estimator exports: examples parsed in the graph, variables restored by a saver, labels from an
asset's table by the legacy initial operation, and signatures of each method, some of them unfit on purpose.
"""

# ruff: noqa: ANN001, ANN202, PLR0917  (TensorFlow itself types these)

import os
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

v1 = tf.compat.v1
SPEC = tf.TensorSpec
CLASSIFY, REGRESS, PREDICT = (f"tensorflow/serving/{method}" for method in ("classify", "regress", "predict"))


def _signature(method: str, inputs: dict[str, tf.Tensor], outputs: dict[str, tf.Tensor]):
    def infos(tensors: dict[str, tf.Tensor]):
        return {alias: v1.saved_model.build_tensor_info(tensor) for alias, tensor in tensors.items()}

    return v1.saved_model.build_signature_def(infos(inputs), infos(outputs), method)


def _census_tensors(assets: Path) -> dict[str, tf.Tensor]:
    examples = v1.placeholder(tf.string, [None], "examples")
    other = v1.placeholder(tf.string, [None], "other")
    features = v1.io.parse_example(
        examples,
        {
            "age": tf.io.FixedLenFeature([1], tf.float32, default_value=[0.0]),
            "job": tf.io.FixedLenFeature([1], tf.string, default_value=[b""]),
        },
    )
    weight = v1.get_variable("weight", initializer=np.float32(2.0), use_resource=True)
    jobs = assets / "jobs.txt"
    jobs.write_text("pilot\ncrew\n")
    initial = tf.lookup.TextFileInitializer(
        str(jobs), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
    )
    job = tf.lookup.StaticHashTable(initial, -1).lookup(features["job"])
    v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, tf.constant(str(jobs)))
    value = tf.identity(features["age"] * weight + tf.cast(job, tf.float32), "value")
    scores = tf.concat([value, -value], axis=1, name="scores")
    labels = tf.tile(tf.constant([["high", "low"]]), [tf.shape(value)[0], 1])
    return {
        "examples": examples,
        "other": other,
        "value": value,
        "flat": value[:, 0],
        "scores": scores,
        "labels": tf.identity(labels, "labels"),
        "double": tf.cast(scores, tf.float64),
        "one label": labels[:, :1],
        "first": scores[:1],
        "other value": tf.fill([tf.shape(other)[0], 1], 1.0),
        "wide": tf.identity(scores, "wide"),
    }


def _census_signatures(t: dict[str, tf.Tensor]) -> dict[str, object]:
    given = {"inputs": t["examples"]}
    both = {"classes": t["labels"], "scores": t["scores"]}
    return {
        "serving_default": _signature(CLASSIFY, given, both),
        "classes": _signature(CLASSIFY, given, {"classes": t["labels"]}),
        "scores": _signature(CLASSIFY, given, {"scores": t["scores"]}),
        "regress": _signature(REGRESS, given, {"outputs": t["value"]}),
        "regress_flat": _signature(REGRESS, given, {"outputs": t["flat"]}),
        "predict": _signature(PREDICT, {"examples": t["examples"]}, {"value": t["value"]}),
        "unnamed": _signature("", given, both),
        "two_inputs": _signature(CLASSIFY, {**given, "more": t["other"]}, both),
        "three_outputs": _signature(CLASSIFY, given, {**both, "more": t["value"]}),
        "other_input_name": _signature(CLASSIFY, {"examples": t["examples"]}, both),
        "other_output_name": _signature(CLASSIFY, given, {"probabilities": t["scores"]}),
        "flat_scores": _signature(CLASSIFY, given, {"scores": t["flat"]}),
        "double_scores": _signature(CLASSIFY, given, {"scores": t["double"]}),
        "float_classes": _signature(CLASSIFY, given, {"classes": t["scores"]}),
        "few_scores": _signature(CLASSIFY, given, {"scores": t["first"]}),
        "uneven": _signature(CLASSIFY, given, {"classes": t["one label"], "scores": t["scores"]}),
        "regress_wide": _signature(REGRESS, given, {"outputs": t["wide"]}),
        "regress_few": _signature(REGRESS, given, {"outputs": t["first"][:, :1]}),
        "regress_labels": _signature(REGRESS, given, {"outputs": t["labels"][:, 0]}),
        "regress_two_outputs": _signature(REGRESS, given, {"outputs": t["value"], "more": t["value"]}),
        "regress_other_name": _signature(REGRESS, given, {"value": t["value"]}),
        "regress_other_input": _signature(REGRESS, {"inputs": t["other"]}, {"outputs": t["other value"]}),
    }


def _census(root: Path) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        tensors = _census_tensors(root)
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        builder = v1.saved_model.Builder(str(root / "census" / "1"))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            signature_def_map=_census_signatures(tensors),
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            legacy_init_op=v1.tables_initializer(),
        )
        builder.save()
    _warm_up(root / "census" / "1")


def _warm_up(version: Path) -> None:
    """A record of each question that is asked in examples."""
    given = {"example_list": {"examples": [tf.train.Example()]}}
    spec = {"name": "any", "signature_name": "regress"}
    records = (
        {"classify_log": {"request": {"model_spec": {"name": "any"}, "input": given}}},
        {"regress_log": {"request": {"model_spec": spec, "input": given}}},
        {"multi_inference_log": {"request": {"tasks": [{"model_spec": spec, "method_name": REGRESS}], "input": given}}},
    )
    (version / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(str(version / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        for record in records:
            writer.write(prediction_log_pb2.PredictionLog(**record).SerializeToString())


def _tagged(root: Path) -> None:
    """Two meta graphs with tags of their own, brought to life by a main operation."""
    builder = v1.saved_model.Builder(str(root / "tagged" / "1"))
    for tags, factor in ((["serve"], 2.0), (["serve", "tenfold"], 20.0)):
        with tf.Graph().as_default(), v1.Session() as session:
            x = v1.placeholder(tf.float32, [None], "x")
            by = v1.get_variable("by", initializer=np.float32(2.0))
            table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["factor"], [factor / 2]), 0.0)
            y = x * by * table.lookup(tf.constant("factor"))
            session.run([v1.global_variables_initializer(), v1.tables_initializer()])
            signatures = {"serving_default": _signature(PREDICT, {"x": x}, {"y": y})}
            if factor == 2.0:
                builder.add_meta_graph_and_variables(
                    session, tags, signature_def_map=signatures, main_op=v1.tables_initializer()
                )
            else:
                builder.add_meta_graph(tags, signature_def_map=signatures, main_op=v1.tables_initializer())
    builder.save(as_text=True)


DTYPES = ("half", "bfloat16", "float32", "complex64", "complex128", "int8", "int16", "uint16", "uint32", "uint64")


class Dtypes(tf.Module):
    """Gives back one input of each dtype that is rare, and one that is a scalar."""

    @tf.function(input_signature=[*(SPEC([None], dtype) for dtype in DTYPES), SPEC([], tf.int32)])
    def echo(self, half, bfloat16, float32, complex64, complex128, int8, int16, uint16, uint32, uint64, scalar):
        given = (half, bfloat16, float32, complex64, complex128, int8, int16, uint16, uint32, uint64, scalar)
        names = (*DTYPES, "scalar")
        return {f"{name}_out": tf.identity(value) for name, value in zip(names, given, strict=True)}


class Rows(tf.Module):
    """Of a matrix: the matrix, the sum of each row, and how many rows were run at once, for each row or not."""

    @tf.function(input_signature=[SPEC([None, None], tf.float32)])
    def rows(self, x):
        together = tf.fill([tf.shape(x)[0]], tf.shape(x)[0])
        return {"same": tf.identity(x), "sum": tf.reduce_sum(x, axis=1), "together": together}

    @tf.function(input_signature=[SPEC([None, None], tf.float32)])
    def whole(self, x):
        return {"total": tf.reduce_sum(x)}

    @tf.function(input_signature=[SPEC([None], tf.float32), SPEC([None], tf.float32)])
    def two(self, a, b):
        return {"a": tf.identity(a), "b": tf.identity(b)}


class Native(tf.Module):
    """A classifier and a regressor as TF2 exports them: the method name is that of Predict."""

    @tf.function(input_signature=[SPEC([None], tf.string)])
    def classify(self, inputs):
        age = tf.io.parse_example(inputs, {"age": tf.io.FixedLenFeature([1], tf.float32)})["age"]
        return {"scores": tf.concat([age, -age], axis=1)}

    @tf.function(input_signature=[SPEC([None], tf.string)])
    def regress(self, inputs):
        return {"outputs": tf.io.parse_example(inputs, {"age": tf.io.FixedLenFeature([1], tf.float32)})["age"]}


class Tables(tf.Module):
    """Tables of the other kinds: filled when exported, with their contents among the variables."""

    def __init__(self) -> None:
        super().__init__()
        self.mutable = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
        self.mutable.insert(tf.constant(["a", "b"]), tf.constant([1, 2], tf.int64))
        self.dense = tf.lookup.experimental.DenseHashTable(tf.int64, tf.int64, -1, empty_key=-1, deleted_key=-2)
        self.dense.insert(tf.constant([7], tf.int64), tf.constant([70], tf.int64))

    @tf.function(input_signature=[SPEC([None], tf.string), SPEC([None], tf.int64)])
    def look_up(self, word, number):
        return {"mutable": self.mutable.lookup(word), "dense": self.dense.lookup(number)}


def _keras_text(directory: Path) -> None:
    keras = tf.keras
    words = keras.Input((1,), dtype="string", name="words")
    codes = keras.Input((1,), dtype="int64", name="codes")
    tokens = keras.layers.TextVectorization(vocabulary=["late", "early"], output_mode="count")(words)
    known = keras.layers.IntegerLookup(vocabulary=[10, 20], output_mode="one_hot")(codes)
    model = keras.Model({"words": words, "codes": codes}, {"tokens": tokens, "known": known})
    model.export(str(directory), verbose=False)


def _default(version: Path, alias: str, values: object) -> None:
    """Give an input a default, which TensorFlow's own Python writes for nobody."""
    file = version / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    saved.meta_graphs[0].signature_def["serving_default"].defaults[alias].CopyFrom(tf.make_tensor_proto(values))
    file.write_bytes(saved.SerializeToString())


def main(root: Path) -> None:
    """Write them all."""
    _census(root)
    _tagged(root)
    dtypes, rows, native, tables = Dtypes(), Rows(), Native(), Tables()
    for name, module, signatures in (
        ("dtypes", dtypes, {"serving_default": dtypes.echo}),
        ("rows", rows, {"serving_default": rows.rows, "whole": rows.whole, "two": rows.two}),
        ("native", native, {"serving_default": native.classify, "regress": native.regress}),
        ("tables", tables, {"serving_default": tables.look_up}),
        ("default", rows, {"serving_default": rows.two}),
    ):
        tf.saved_model.save(module, str(root / name / "1"), signatures=signatures)
    _default(root / "default" / "1", "b", np.array([5.0], np.float32))
    _keras_text(root / "text" / "1")
