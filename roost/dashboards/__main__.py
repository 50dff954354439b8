"""Writes the dashboards, or compares them with what is committed."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from roost.dashboards.customer import CUSTOMER_BOARD
from roost.dashboards.fleet import FLEET_BOARD
from roost.dashboards.panels import document
from roost.dashboards.pipeline import PIPELINE_BOARD

FOLDER: Final = Path("manifests/dashboards")
BOARDS: Final = {"fleet.json": FLEET_BOARD, "pipeline.json": PIPELINE_BOARD, "customer.json": CUSTOMER_BOARD}


def rendered() -> dict[str, str]:
    """File name to content, for every dashboard."""
    return {name: json.dumps(document(board), indent=2) + "\n" for name, board in BOARDS.items()}


def main(arguments: list[str]) -> int:
    """Entry of `python -m roost.dashboards [--check]`. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m roost.dashboards", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with what is committed; write nothing")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder of the dashboards")
    options = parser.parse_args(arguments)
    wrong = [
        name
        for name, content in rendered().items()
        if not (options.folder / name).is_file() or (options.folder / name).read_text() != content
    ]
    if options.check:
        for name in wrong:
            print(f"{options.folder / name} is not up to date: run `python -m roost.dashboards`", file=sys.stderr)
        return 1 if wrong else 0
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, content in rendered().items():
        (options.folder / name).write_text(content)
    return 0


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except OSError as error:
        raise SystemExit(f"nothing is written: {error}") from error
    raise SystemExit(code)
