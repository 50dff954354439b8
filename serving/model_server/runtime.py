"""TensorFlow's session, taken from its C binding alone.

`import tensorflow` runs the whole Python API, some ten seconds of it on a slow core, and the server must be ready
sooner. The C binding (`pywrap_tf_session`, what `tf.compat.v1.Session` itself calls) brings the runtime and all kernels
in about one second, builds no Python objects for a graph's nodes, and frees a model as soon as its last reference goes.
It is not a public API: the version of TensorFlow is pinned, and the conformance tests run on it. Nothing else imports
it.
"""

import ctypes
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import text_format

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf.config_pb2 import CallableOptions, ConfigProto
from tensorflow.python.client import pywrap_tf_session as c_session
from tensorflow.python.framework import errors_impl

from roost.adapters.tf_messages import Array, proto_dtype, types_pb2
from serving.model_server.side_files import read_text
from serving.model_server.statuses import Code, StatusError, invalid_argument

#: `RunOptions.inter_op_thread_pool`: no pool, the thread that calls.
_CALLERS_THREAD = -1
#: Graphs of up to so many nodes, those of functions counted, run as they were written, functions inlined. TensorFlow
#: rewrites a graph anew for each prepared run, and each function at its first: a load and its first answer took 135 ms
#: of processor time with that, and 44 without, the answers after it the same.
_SMALL_GRAPH_NODES = 1_000
#: Operations that look at whether their run has been cancelled, at each turn of a loop or while they wait. The others
#: go on to their end, so that a limit would only cost a run of them what handing it to a pool takes.
_ENDABLE = re.compile(r"While$|^LoopCond$|^For$|Queue|Barrier|Unstage")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOptions:
    """Threads within operations (0: one per core) and between them, and the share of GPU memory.

    `inter_op_threads` 0 or 1 runs a request's operations one after another in the request's own thread: the requests
    are the parallelism then, and a small model answers in a tenth of the time that handing it to a pool takes (12 µs
    for 120 here). More threads make a pool, for wide graphs on idle cores.
    """

    intra_op_threads: int = 0
    inter_op_threads: int = 0
    gpu_memory_fraction: float = 0.0
    #: TensorFlow's ConfigProto, serialised, for whatever else a session may be told.
    config: bytes = b""


def read_session_config(path: str) -> ConfigProto:
    """Return the ConfigProto in a text file, an empty one without a path.

    Raises INVALID_ARGUMENT where it is none, and what reading it ends with.
    """
    try:
        return text_format.Parse(read_text(path) if path else "", ConfigProto())
    except text_format.ParseError as error:
        raise invalid_argument(f"Invalid protobuf file: '{path}'") from error


class Graph:
    """One model's graph in a session of its own. Its memory goes with `close`, once its prepared runs are gone."""

    def __init__(self, definition: graph_pb2.GraphDef, options: RuntimeOptions) -> None:
        """Build the graph. Raises StatusError where TensorFlow refuses it, an unknown operation for one."""
        self._graph = c_session.PyGraph()
        self._in_own_thread = options.inter_op_threads <= 1
        self._fed_dtypes = {n.name: n.attr["dtype"].type for n in definition.node if n.op.startswith("Placeholder")}
        #: Whether a run of it can be ended before its end: it has loops, or waits for something.
        self.endable = any(_ENDABLE.search(operation) for operation in _operations(definition))
        try:
            self._import(definition)
            self._session = self._new_session(options, rewrite=_nodes(definition) > _SMALL_GRAPH_NODES)
        except errors_impl.OpError as error:
            raise _status(error) from error

    def _import(self, definition: graph_pb2.GraphDef) -> None:
        options = c_session.TF_NewImportGraphDefOptions()
        serialized = c_session.TF_NewBufferFromString(definition.SerializeToString())
        try:
            c_session.TF_ImportGraphDefOptionsSetPrefix(options, "")
            c_session.TF_GraphImportGraphDefWithResults(self._graph, serialized, options)
        finally:
            c_session.TF_DeleteBuffer(serialized)
            c_session.TF_DeleteImportGraphDefOptions(options)

    def _new_session(self, options: RuntimeOptions, *, rewrite: bool) -> Any:
        config = ConfigProto.FromString(options.config)
        config.intra_op_parallelism_threads = options.intra_op_threads
        config.inter_op_parallelism_threads = options.inter_op_threads
        config.allow_soft_placement = True
        config.gpu_options.per_process_gpu_memory_fraction = options.gpu_memory_fraction
        if not config.HasField("graph_options"):
            config.graph_options.rewrite_options.disable_meta_optimizer = not rewrite
            config.graph_options.optimizer_options.do_function_inlining = not rewrite
        session_options = c_session.TF_NewSessionOptions(target="", config=config)
        try:
            session = c_session.TF_NewSessionRef(self._graph, session_options)
        finally:
            c_session.TF_DeleteSessionOptions(session_options)
        c_session.ExtendSession(session)
        return session

    def callable(
        self,
        *,
        feeds: Sequence[str] = (),
        fetches: Sequence[str] = (),
        targets: Sequence[str] = (),
        limit_ms: int = 0,
    ) -> "Callable":
        """Prepare a run once: tensors fed (in order), tensors fetched (in order), operations run for their effect.

        After `limit_ms` (0: never) TensorFlow cancels it, and it ends with DEADLINE_EXCEEDED. Raises StatusError where
        a name is not in the graph.
        """
        options = CallableOptions(feed=feeds, fetch=fetches, target=targets)
        options.run_options.timeout_in_ms = limit_ms
        # Nobody watches the clock of a run in its caller's thread.
        if self._in_own_thread and not limit_ms:
            options.run_options.inter_op_thread_pool = _CALLERS_THREAD
        serialized = c_session.TF_NewBufferFromString(options.SerializeToString())
        try:
            handle = c_session.TF_SessionMakeCallable(self._session, serialized)
            return Callable(self._session, handle, [(name, self._fed_dtypes.get(_node(name), 0)) for name in feeds])
        except errors_impl.OpError as error:
            raise _status(error) from error
        finally:
            c_session.TF_DeleteBuffer(serialized)

    def close(self) -> None:
        """Free the session: call it when no run is under way and none will come. See `give_back`."""
        session, self._session = self._session, None
        if session is not None:
            c_session.TF_CloseSession(session)
            c_session.TF_DeleteSession(session)
        del session
        self._graph = None


class Callable:
    """A prepared run. Many threads may call it at once; the interpreter lock is released meanwhile."""

    __slots__ = ("_feeds", "_handle", "_session")

    def __init__(self, session: Any, handle: Any, feeds: Sequence[tuple[str, int]]) -> None:
        """Keep the session alive as long as this run of it. `feeds`: each fed tensor's name and dtype (0: unknown)."""
        self._session = session
        self._handle = handle
        self._feeds = feeds

    def __call__(self, feeds: Sequence[Array]) -> list[Array]:
        """Run with these feeds and return what is fetched. Raises StatusError, TensorFlow's code and message in it."""
        try:
            fetched: list[Any] = c_session.TF_SessionRunCallable(self._session, self._handle, tuple(feeds), None)
        except errors_impl.OpError as error:
            self._check_dtypes(feeds)
            raise _status(error) from error
        except UnicodeDecodeError as error:
            # The binding could not read the message: it quotes bytes of the request, an example that is none for one.
            raise invalid_argument(error.object.decode("utf-8", "surrogateescape")) from error
        if bytes in map(type, fetched):  # so comes a string of no dimensions
            fetched = [np.array(each, np.object_) if type(each) is bytes else each for each in fetched]
        return fetched

    def _check_dtypes(self, values: Sequence[Array]) -> None:
        """Raise INVALID_ARGUMENT for the first tensor of another dtype, as a session says it that was not prepared.

        The official server runs sessions so: by their tensors' names, in the order of these.
        """
        fed = sorted(zip(self._feeds, values, strict=True), key=lambda each: each[0])
        for index, ((_, expected), value) in enumerate(fed):
            given = proto_dtype(value)
            if expected not in {0, given}:
                wanted, got = (types_pb2.DataType.Name(dtype)[3:].lower() for dtype in (expected, given))
                raise invalid_argument(f"Expects arg[{index}] to be {wanted} but {got} is provided")


def _node(tensor: str) -> str:
    return tensor.partition(":")[0]


def _nodes(definition: graph_pb2.GraphDef) -> int:
    return len(definition.node) + sum(len(function.node_def) for function in definition.library.function)


def _operations(definition: graph_pb2.GraphDef) -> set[str]:
    functions = (node.op for function in definition.library.function for node in function.node_def)
    return {node.op for node in definition.node}.union(functions)


def give_back() -> None:
    """Give freed memory back to the system.

    The C library keeps it for itself otherwise: all of what a hundred models took, as measured. Some milliseconds, and
    more with more models in the process: it looks through all that is free.
    """
    if _MALLOC_TRIM is not None:
        _MALLOC_TRIM(0)


#: Only glibc has it.
_MALLOC_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)


def _status(error: errors_impl.OpError) -> StatusError:
    return StatusError(Code(error.error_code), error.message)
