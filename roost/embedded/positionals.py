"""Arguments of the small programs that the stack starts as `python -m …`. By hand, one is told what they take."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def positionals(module: str, about: str | None, given: Sequence[str], **meanings: str) -> list[str]:
    """The arguments of `python -m <module>`, one for each of `meanings`, in that order; `about` is its docstring.

    Ends the process with code 2, or with 0 for ``--help``, where they are others: usage and what is wrong are printed.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=(about or "").splitlines()[0])
    for name, meaning in meanings.items():
        parser.add_argument(name, metavar=name.upper(), help=meaning)
    parsed = parser.parse_args(given)
    return [str(getattr(parsed, name)) for name in meanings]
