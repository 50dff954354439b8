"""SavedModel on disk: written so that equal models are equal bytes, and read back as what a server would serve."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from roost.contracts.manifest import SAVED_MODEL_NAME, SignatureSpec, TensorSpec
from training.examples import Array, TrainingRefused
from training.models import Exportable

_FINGERPRINT: Final = "fingerprint.pb"
_INTERNAL: Final = "__saved_model_init_op"


def save(model: Exportable, directory: Path) -> None:
    """Write the model, the same bytes for the same model in a fresh process.

    TensorFlow writes maps of the protobuf in any order and a random id into `fingerprint.pb`, which servers only
    report: maps are written in order here, and that file is left out.
    """
    import tensorflow as tf

    if "serving_default" not in model.signatures:
        raise TrainingRefused("the trainer's model has no signature serving_default: add it to Exportable.signatures")
    tf.saved_model.save(_with_captured_variables(model), str(directory), signatures=dict(model.signatures))
    path = directory / SAVED_MODEL_NAME
    proto = _read(path)
    for name, method in model.methods.items():
        proto.meta_graphs[0].signature_def[name].method_name = method
    path.write_bytes(proto.SerializeToString(deterministic=True))
    (directory / _FINGERPRINT).unlink(missing_ok=True)


def _with_captured_variables(model: Exportable) -> Any:
    """The module, and beside it every variable that a signature uses, so that a server restores just those.

    A Keras variable that is only tracked as such is written as a copy of its TensorFlow variable: `tf.saved_model.load`
    follows the object graph and finds the copy, a model server restores the copy and then reads the other one, which is
    uninitialised (seen with Keras 3.15: the first model of the first customer did not load).
    """
    import tensorflow as tf

    root = tf.Module()
    root.model = model.module
    used = {id(variable): variable for call in model.signatures.values() for variable in _variables(call)}
    root.captured = list(used.values())
    return root


def _variables(call: Any) -> list[Any]:
    """In the order in which the graph takes them: the graph's own list has another order in each process."""
    graph = getattr(call, "graph", None)
    if graph is None:
        return []
    by_handle = {id(variable.handle): variable for variable in graph.variables}
    return [by_handle[id(taken)] for taken, _ in graph.captures if id(taken) in by_handle]


def signatures(directory: Path) -> tuple[SignatureSpec, ...]:
    """Signatures as the file has them, by name."""
    found = _read(directory / SAVED_MODEL_NAME).meta_graphs[0].signature_def
    return tuple(
        SignatureSpec(
            name=name,
            method=found[name].method_name,
            inputs=_tensors(found[name].inputs),
            outputs=_tensors(found[name].outputs),
        )
        for name in sorted(found)
        if name != _INTERNAL
    )


def ops(directory: Path) -> frozenset[str]:
    """Every op of the graph and its functions: what a vetting deployer will look at."""
    graph = _read(directory / SAVED_MODEL_NAME).meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return frozenset(node.op for node in nodes)


class Served:
    """The exported model, loaded as a model server loads it: what is evaluated and recorded is what will be served.

    A server runs the graph in a session after the restore op; `tf.saved_model.load` follows the object graph instead
    and can find variables that a server does not.
    """

    def __init__(self, directory: Path) -> None:
        """Load it. TensorFlow is imported here. `close` gives the memory back."""
        import tensorflow as tf

        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            meta_graph = tf.compat.v1.saved_model.loader.load(self._session, ["serve"], str(directory))
        self._serve = meta_graph.signature_def["serving_default"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def answer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs of ``serving_default`` by name.

        Raises:
            TrainingRefused: the model does not take the data set's features, naming both; or it does not run.
        """
        import tensorflow as tf

        if set(self._serve.inputs) != set(inputs):
            raise TrainingRefused(
                f"the model's serving_default takes {', '.join(sorted(self._serve.inputs))}; "
                f"the data set has {', '.join(sorted(inputs))}: name them alike"
            )
        outputs = {name: tensor.name for name, tensor in self._serve.outputs.items()}
        feeds = {self._serve.inputs[name].name: column for name, column in inputs.items()}
        try:
            found: dict[str, Array] = self._session.run(outputs, feeds)
        except (tf.errors.OpError, ValueError, TypeError) as error:
            raise TrainingRefused(f"the exported model does not answer the data set's rows: {error}") from error
        return found


def _tensors(found: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
    from roost.adapters.tf_messages import types_pb2

    return tuple(
        TensorSpec(
            name=name,
            dtype=types_pb2.DataType.Name(found[name].dtype),
            shape=None
            if found[name].tensor_shape.unknown_rank
            else tuple(dim.size for dim in found[name].tensor_shape.dim),
        )
        for name in sorted(found)
    )


def _read(path: Path) -> Any:
    from roost.adapters.tf_messages import saved_model_pb2

    return saved_model_pb2.SavedModel.FromString(path.read_bytes())
