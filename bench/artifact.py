"""Makes the artifact that B1 deploys: ``python -m bench.artifact DIRECTORY``, a process of its own for TensorFlow.

The bundled model, trained on one airline's real flights under two seeds, so that two versions in turn never answer
alike: whoever asks can tell by the answer alone which of them it was.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from roost.contracts.ids import DEFAULT_MODEL
from roost.contracts.manifest import MANIFEST_NAME, RunFacts
from training.checks import split
from training.datasets.flights import FlightsDataset
from training.export import complete_rows, record_holdout, record_requests, seal
from training.models.tabular import TabularClassifier
from training.run import configure_tensorflow
from training.saved_model import Served, save

AIRLINE: Final = "f9"
SEEDS: Final = {"a": 7, "b": 8}


def main(directory: Path) -> None:
    """Write ``a/`` and ``b/``, each with its files below ``files/`` and its manifest beside them."""
    configure_tensorflow(threads=1)
    dataset = FlightsDataset()
    schema, examples = dataset.schema(AIRLINE), dataset.load(AIRLINE, None)
    training, later = split(examples)
    for name, seed in SEEDS.items():
        model = TabularClassifier().fit(training, schema, seed=seed)
        files = directory / name / "files"
        save(model, files)
        rows = complete_rows(later)
        with Served(files) as served:
            record_requests(files, served, schema, rows)
        record_holdout(files, rows, seed=seed)
        facts = RunFacts(
            run_id=f"bench-{name}",
            trained_at=datetime.now(UTC),
            code_version="bench",
            seed=seed,
            data_window=examples.window.isoformat(),
            rows_trained=len(training),
        )
        sealed = seal(files, model, customer=AIRLINE, model_id=DEFAULT_MODEL, run=facts)
        (directory / name / MANIFEST_NAME).write_bytes(sealed.manifest.encoded())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.artifact", description=__doc__.splitlines()[0])
    parser.add_argument("directory", metavar="DIRECTORY", type=Path)
    main(parser.parse_args().directory)
