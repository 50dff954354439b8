"""Loads SavedModels by TensorFlow's C++ library alone, as the official server does, and prints how each load ended.

`python cpp_loader.py DIRECTORY …` gives a line of JSON for each: directory, code, message. It is what the drop-in server,
which reads SavedModels itself, is held to where there is no official binary.
"""

import ctypes
import importlib.util
import json
import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

_POINTER = ctypes.c_void_p


def _library() -> ctypes.CDLL:
    found = importlib.util.find_spec("tensorflow")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("TensorFlow is not installed")
    directory = Path(found.submodule_search_locations[0])
    ctypes.CDLL(str(directory / "libtensorflow_framework.so.2"), mode=ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(str(directory / "libtensorflow_cc.so.2"), mode=ctypes.RTLD_GLOBAL)
    for function in (
        library.TF_NewStatus,
        library.TF_NewSessionOptions,
        library.TF_NewGraph,
        library.TF_LoadSessionFromSavedModel,
    ):
        function.restype = _POINTER
    library.TF_Message.restype = ctypes.c_char_p
    return library


def main() -> None:
    """Load each directory of the command line with the tag `serve`."""
    library = _library()
    tags = (ctypes.c_char_p * 1)(b"serve")
    for directory in sys.argv[1:]:
        status, options, graph = (
            _POINTER(make()) for make in (library.TF_NewStatus, library.TF_NewSessionOptions, library.TF_NewGraph)
        )
        library.TF_LoadSessionFromSavedModel(options, None, directory.encode(), tags, 1, graph, None, status)
        message = library.TF_Message(status).decode(errors="replace")
        print(json.dumps([directory, library.TF_GetCode(status), message]))


if __name__ == "__main__":
    main()
