"""Writes tiny SavedModels, one directory each. Run as a program, so that no test process imports TensorFlow."""

from __future__ import annotations

import sys
from pathlib import Path

#: Name of the directory to what the model multiplies its input by.
FACTORS = {"one": 1.0, "two": 2.0, "three": 3.0, "nan": float("nan")}
#: What the model ``heavy`` carries in a variable.
BALLAST_BYTES = 48 * 2**20


def main(root: Path) -> None:
    """Export each factor's model below `root`."""
    import tensorflow as tf

    class Scale(tf.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = tf.Variable(factor)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def scale(self, x: object) -> dict[str, object]:
            return {"y": x * self.factor}

    class Heavy(Scale):
        def __init__(self) -> None:
            super().__init__(1.0)
            self.ballast = tf.Variable(tf.zeros([BALLAST_BYTES // 4]))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def scale(self, x: object) -> dict[str, object]:
            return {"y": x * self.factor + tf.gather(self.ballast, [0])}

    class Pair(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = tf.Variable([1.0, 2.0])

        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
        def scale(self, x: object) -> dict[str, object]:
            return {"y": tf.linalg.matvec(x, self.weights)}

    modules = {name: Scale(factor) for name, factor in FACTORS.items()} | {"heavy": Heavy(), "pair": Pair()}
    for name, module in modules.items():
        tf.saved_model.save(module, str(root / name), signatures={"serving_default": module.scale})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
