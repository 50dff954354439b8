"""Importing the messages must stay cheap."""

import subprocess
import sys


def test_the_messages_do_not_bring_tensorflow_itself() -> None:
    """A fresh interpreter that imports them has none of TensorFlow's own modules."""
    program = (
        "import sys; from roost.adapters import tf_messages; "
        "print([name for name in sys.modules if name.startswith(('tensorflow.python', 'keras'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
