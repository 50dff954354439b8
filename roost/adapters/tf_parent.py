"""Makes TensorFlow's generated messages importable without TensorFlow itself: import this before any of them.

The generated modules import `tensorflow.core.…`, and Python runs a package's parent first: `import tensorflow` costs
several seconds and some 500 MB. This module registers a bare parent named `tensorflow` that only knows where its
children lie, so that gRPC stubs and SavedModel protos cost a few hundred milliseconds and some 40 MB.

Where the real TensorFlow is already imported, nothing is registered; where something asks the bare parent for
TensorFlow's own API after all, the real one is imported then, and answers.
"""

import importlib
import importlib.util
import sys
from types import ModuleType


class _BareParent(ModuleType):
    """Stands for the package `tensorflow` until somebody wants more of it than its messages."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") and name != "__version__":  # the import system and debuggers ask modules for these
            raise AttributeError(name)
        if sys.modules.get("tensorflow") is self:
            del sys.modules["tensorflow"]
        return getattr(importlib.import_module("tensorflow"), name)


def _register_bare_parent() -> None:
    if "tensorflow" in sys.modules:
        return
    found = importlib.util.find_spec("tensorflow")
    if found is None or found.submodule_search_locations is None:
        raise ModuleNotFoundError(
            "the package tensorflow (its generated messages are used) is not installed: pip install 'roost[serving]'",
            name="tensorflow",
        )
    parent = _BareParent("tensorflow", __doc__)
    parent.__path__ = list(found.submodule_search_locations)
    sys.modules["tensorflow"] = parent


_register_bare_parent()
