"""One loaded version of a model: its signatures, the runs prepared for them, and who uses it now."""

import logging
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roost.adapters.tf_messages import Array, meta_graph_pb2
from serving.model_server.prepared_runs import Batching, PreparedRuns, Run
from serving.model_server.runtime import Graph, RuntimeOptions
from serving.model_server.saved_model import initial_runs, read_meta_graph
from serving.model_server.statuses import Code, StatusError, failed_precondition

_LOG = logging.getLogger(__name__)

DEFAULT_SIGNATURE = "serving_default"
_TFLITE_FILE = "model.tflite"


class Signature:
    """One signature: its inputs and outputs by alias, and its prepared runs."""

    def __init__(self, name: str, definition: meta_graph_pb2.SignatureDef, runs: PreparedRuns) -> None:
        """Prepare the run that fetches every output."""
        self.name = name
        self.definition = definition
        self.inputs: dict[str, meta_graph_pb2.TensorInfo] = dict(sorted(definition.inputs.items()))
        self.outputs: dict[str, meta_graph_pb2.TensorInfo] = dict(sorted(definition.outputs.items()))
        self._runs = runs
        self._feeds = tuple(info.name for info in self.inputs.values())
        self._all = tuple(self.outputs)
        self._run_all = self._run_for(self._all)

    def run(self, inputs: Sequence[Array], outputs: tuple[str, ...], timeout: float = math.inf) -> dict[str, Array]:
        """Return these outputs (all of them for an empty tuple) for inputs in the order of `self.inputs`.

        `timeout`: seconds that the answer is waited for. Raises StatusError with TensorFlow's message.
        """
        if not outputs:
            return dict(zip(self._all, self._run_all(inputs, timeout), strict=True))
        return dict(zip(outputs, self._run_for(outputs)(inputs, timeout), strict=True))

    def _run_for(self, outputs: tuple[str, ...]) -> Run:
        return self._runs.get(self._feeds, tuple(self.outputs[alias].name for alias in outputs))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """Which meta graph of a SavedModel is loaded, with which resources, and how it is asked.

    `check_method_names`: a signature only answers the questions that its method name says. `kept`: takes the graphs of
    versions that are unloaded, which are then not freed; None: all are. `prefer_tflite`: a version
    with a TensorFlow Lite model is meant to answer by that, which this server cannot, so that it does not load.
    """

    tags: tuple[str, ...]
    runtime: RuntimeOptions
    batching: Batching | None = None
    check_method_names: bool = False
    prefer_tflite: bool = False
    kept: list[Graph] | None = None


class Servable:
    """A version that can answer. `acquire` and `release` bracket each use; `close` waits until nobody uses it."""

    def __init__(self, name: str, version: int, directory: Path, options: LoadOptions) -> None:
        """Load it from its directory, variables restored and tables initialised. Raises StatusError."""
        self.name = name
        self.version = version
        self.directory = directory
        self.checks_method_names = options.check_method_names
        self._idle = threading.Condition()
        self._users = 0
        self._closing = False
        if options.prefer_tflite and (directory / _TFLITE_FILE).exists():
            raise StatusError(Code.UNIMPLEMENTED, f"TensorFlow Lite models are not served: {directory / _TFLITE_FILE}")
        meta_graph = read_meta_graph(directory, options.tags)
        queues = options.batching.queues(directory) if options.batching else None
        self._kept = options.kept
        self._graph = Graph(meta_graph.graph_def, options.runtime)
        self._runs = PreparedRuns(self._graph, queues)
        try:
            for run in initial_runs(directory, meta_graph):
                prepared = self._graph.callable(feeds=list(run.feeds), targets=run.targets)
                prepared([np.array(value.encode(), dtype=np.object_) for value in run.feeds.values()])
            self.signature_defs = dict(meta_graph.signature_def)
            self._signatures: dict[str, Signature] = {}
            self._prepare_default()
        except BaseException:
            self._runs.close()
            self._graph.close()
            raise

    def _prepare_default(self) -> None:
        """Prepare what is asked most. One that names tensors which are not there fails its requests, not the load."""
        if DEFAULT_SIGNATURE in self.signature_defs:
            try:
                self.signature(DEFAULT_SIGNATURE)
            except StatusError as error:
                _LOG.warning("The default signature of %s cannot be run: %s", self.directory, error)

    def signature(self, name: str) -> Signature:
        """Return a signature, the default one for an empty name. Raises FAILED_PRECONDITION where there is none."""
        name = name or DEFAULT_SIGNATURE
        found = self._signatures.get(name)
        if found is None:
            if name not in self.signature_defs:
                raise failed_precondition(f'Serving signature key "{name}" not found.')
            found = self._signatures[name] = Signature(name, self.signature_defs[name], self._runs)
        return found

    def prepared(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> Run:
        """Return the run that feeds and fetches these tensors of the graph. Raises StatusError where it has not."""
        return self._runs.get(feeds, fetches)

    def acquire(self) -> bool:
        """Hold the version open for a request, until `release`; False where it is closing already."""
        with self._idle:
            if self._closing:
                return False
            self._users += 1
            return True

    def release(self) -> None:
        """End what `acquire` began."""
        with self._idle:
            self._users -= 1
            if self._closing and not self._users:
                self._idle.notify_all()

    def close(self) -> None:
        """Wait until no request uses it, then free its memory."""
        with self._idle:
            self._closing = True
            self._idle.wait_for(lambda: not self._users)
        self._signatures.clear()
        self._runs.close()
        if self._kept is None:
            self._graph.close()
        else:
            self._kept.append(self._graph)
