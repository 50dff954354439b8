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
from roost.contracts.ids import DEFAULT_MODEL
from roost.contracts.manifest import OutputSpec, RunFacts
from training.examples import Feature, Window
from training.export import complete_rows, record_holdout, record_requests, seal
from training.models import Exportable
from training.run import configure_tensorflow
from training.saved_model import Served, save
from training.staging import Staged, stage
from training.wiring import workshop

#: Miles. The square root of what is left to it is NaN beyond.
_LONGEST: Final = 2000.0
_WINDOW: Final = "2013-01-01:2013-02-01"


def main(customer: str, run_id: str) -> Staged:
    """Stage the broken model of that customer."""
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
    import tensorflow as tf

    module = tf.Module()

    @tf.function  # type: ignore[untyped-decorator] # TensorFlow ships no types
    def predict(**raw: Any) -> Mapping[str, Any]:
        return {"probability": tf.sigmoid(tf.sqrt(_LONGEST - raw["distance"]) / 100 - raw["hour"] / 24)}

    specs = {
        feature.name: tf.TensorSpec([None], tf.string if feature.kind == "text" else tf.float32, name=feature.name)
        for feature in features
    }
    return Exportable(
        module=module,
        signatures={"serving_default": predict.get_concrete_function(**specs)},
        outputs=(OutputSpec(name="probability", minimum=0.0, maximum=1.0),),
        answer="probability",
    )


if __name__ == "__main__":
    print(main(sys.argv[1], sys.argv[2]).uri)
