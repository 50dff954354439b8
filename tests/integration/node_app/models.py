"""Writes small SavedModels of late flights, one directory each. Run as a program: no test process imports TensorFlow."""

from __future__ import annotations

import sys
from pathlib import Path

#: Name of the directory to what the hour is divided by.
DIVISORS = {"first": 24.0, "second": 48.0}


def main(root: Path) -> None:
    """Export each model below `root`."""
    import tensorflow as tf

    def spec(dtype: object, name: str) -> object:
        return tf.TensorSpec([None], dtype, name=name)

    class Flights(tf.Module):
        def __init__(self, divisor: float) -> None:
            super().__init__()
            self.divisor = tf.Variable(divisor)

        @tf.function(
            input_signature=[
                spec(tf.string, "origin"),
                spec(tf.string, "passenger"),
                spec(tf.float32, "distance"),
                spec(tf.int64, "hour"),
                spec(tf.float32, "temp"),
            ]
        )
        def late(self, origin: object, passenger: object, distance: object, hour: object, temp: object) -> object:
            warm = tf.where(tf.math.is_nan(temp), 0.0, temp)
            texts = tf.cast(tf.strings.length(origin) + tf.strings.length(passenger), tf.float32)
            return {"probability": tf.cast(hour, tf.float32) / self.divisor + 1e-9 * (texts + distance + warm)}

    for name, divisor in DIVISORS.items():
        module = Flights(divisor)
        tf.saved_model.save(module, str(root / name), signatures={"serving_default": module.late})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
