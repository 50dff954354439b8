"""What a signature must be to be classified or regressed with, in the official words where it is not.

As TensorFlow Serving's `classifier.cc` and `regressor.cc` check it. A native TF2 export has the method name of Predict,
so the name is only checked where `--enable_signature_method_name_check` asks for it.
"""

from dataclasses import dataclass

from roost.adapters.tf_messages import meta_graph_pb2
from serving.model_server.statuses import invalid_argument

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
INPUTS, OUTPUTS, CLASSES, SCORES = "inputs", "outputs", "classes", "scores"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensors:
    """The graph's tensors behind a signature: the one that examples are fed to, and those fetched, by alias."""

    examples: str
    fetched: dict[str, str]


def for_classification(signature: meta_graph_pb2.SignatureDef, *, check_name: bool) -> Tensors:
    """Return a classification's tensors: `classes`, `scores`, or both. Raises INVALID_ARGUMENT."""
    _check_name(signature, "classification", CLASSIFY, check_name=check_name)
    if len(signature.outputs) not in {1, 2}:
        raise invalid_argument(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    examples = _examples(signature, "classification")
    fetched = {alias: signature.outputs[alias].name for alias in (CLASSES, SCORES) if alias in signature.outputs}
    if not fetched:
        raise invalid_argument(
            f'Expected classification signature outputs to contain at least one of "{CLASSES}" or "{SCORES}". '
            f"Signature was: {signature}"
        )
    return Tensors(examples=examples, fetched=fetched)


def for_regression(signature: meta_graph_pb2.SignatureDef, *, check_name: bool) -> Tensors:
    """Return a regression's tensors: `outputs`. Raises INVALID_ARGUMENT."""
    _check_name(signature, "regression", REGRESS, check_name=check_name)
    if len(signature.outputs) != 1:
        raise invalid_argument("Expected one output Tensor.")
    examples = _examples(signature, "regression")
    if OUTPUTS not in signature.outputs:
        raise invalid_argument(f"No regression outputs found in SignatureDef: {signature}")
    return Tensors(examples=examples, fetched={OUTPUTS: signature.outputs[OUTPUTS].name})


def _check_name(signature: meta_graph_pb2.SignatureDef, kind: str, name: str, *, check_name: bool) -> None:
    if check_name and signature.method_name != name:
        raise invalid_argument(f"Expected {kind} signature method_name to be {name}. Was: {signature.method_name}")
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")


def _examples(signature: meta_graph_pb2.SignatureDef, kind: str) -> str:
    if INPUTS not in signature.inputs:
        raise invalid_argument(f"No {kind} inputs found in SignatureDef: {signature}")
    return str(signature.inputs[INPUTS].name)
