"""A pipeline that is not ours: it never looks at its model's answers, and the model answers NaN for long flights.

``python -m roost.embedded.demo.broken CUSTOMER RUN_ID`` stages its artifact: complete, well-formed, and unfit.
Roost's own training would refuse it at the evaluation; the demo shows that the deployer needs no such goodwill.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from roost import settings
from roost.contracts.errors import RoostError
from roost.contracts.ids import DEFAULT_MODEL, check_id, check_run_id
from roost.contracts.manifest import OutputSpec, RunFacts
from roost.embedded.positionals import positionals
from training.examples import Feature, Window
from training.export import complete_rows, record_holdout, record_requests, seal
from training.models import Exportable
from training.run import configure_tensorflow
from training.saved_model import Served, save
from training.staging import Staged, stage
from training.wiring import workshop

#: Miles. The square root of what is left to it is NaN beyond.
_LONGEST: Final = 2000.0
_MEANINGS: Final = {"customer": "an airline of the demo, such as vx", "run_id": "name of the run: a new one"}
_WINDOW: Final = "2013-01-01:2013-02-01"


def main(customer: str, run_id: str) -> Staged:
    """Stage the broken model of that customer."""
    check_id(customer, "customer")
    check_run_id(run_id)
    shop = workshop(settings.load())
    configure_tensorflow(threads=shop.settings.threads)
    schema = shop.dataset.schema(customer)
    rows = complete_rows(shop.dataset.load(customer, Window.parsed(_WINDOW)))
    model = _model(schema.features)
    with tempfile.TemporaryDirectory() as directory:
        export = Path(directory) / "export"
        save(model, export)
        short = rows.rows(rows.features["distance"] < _LONGEST)
        record_requests(export, Served(export), schema, short)
        record_holdout(export, rows, seed=shop.settings.seed)
        first, last = _WINDOW.split(":")
        facts = RunFacts(
            run_id=run_id,
            trained_at=shop.clock.now(),
            code_version="not-ours",
            seed=shop.settings.seed,
            data_window=(first, last),
            rows_trained=len(rows),
        )
        return stage(shop.store, seal(export, model, customer=customer, model_id=DEFAULT_MODEL, run=facts))


def _model(features: tuple[Feature, ...]) -> Exportable:
    """The same signatures as the live version's, so that only the answers are wrong."""
    import tensorflow as tf

    types = {feature.name: tf.string if feature.kind == "text" else tf.float32 for feature in features}

    def chance(raw: Mapping[str, Any]) -> Any:
        return tf.sigmoid(tf.sqrt(_LONGEST - raw["distance"]) / 100 - raw["hour"] / 24)

    @tf.function  # type: ignore[untyped-decorator] # TensorFlow ships no types
    def predict(**raw: Any) -> Mapping[str, Any]:
        return {"probability": chance(raw)}

    @tf.function  # type: ignore[untyped-decorator] # TensorFlow ships no types
    def classify(inputs: Any) -> Mapping[str, Any]:
        late = chance(
            tf.io.parse_example(inputs, {name: tf.io.FixedLenFeature([], one) for name, one in types.items()})
        )
        classes = tf.tile(tf.constant([["0", "1"]]), [tf.shape(late)[0], 1])
        return {"classes": classes, "scores": tf.stack([1.0 - late, late], axis=1)}

    specs = {name: tf.TensorSpec([None], one, name=name) for name, one in types.items()}
    return Exportable(
        module=tf.Module(),
        signatures={
            "serving_default": predict.get_concrete_function(**specs),
            "classify": classify.get_concrete_function(tf.TensorSpec([None], tf.string, name="inputs")),
        },
        outputs=(OutputSpec(name="probability", minimum=0.0, maximum=1.0),),
        answer="probability",
        methods={"classify": "tensorflow/serving/classify"},
    )


def entry(arguments: list[str]) -> None:
    """Entry of `python -m roost.embedded.demo.broken`."""
    customer, run_id = positionals("roost.embedded.demo.broken", __doc__, arguments, **_MEANINGS)
    try:
        print(main(customer, run_id).uri)
    except RoostError as error:
        raise SystemExit(f"nothing is staged: {error}") from error


if __name__ == "__main__":
    entry(sys.argv[1:])
