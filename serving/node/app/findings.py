"""What is wrong with a request: all of it at once, within bounds."""

from __future__ import annotations

from typing import Final

from serving.node.app.forms import Problem, ProblemKind

#: Problems that are listed at most; the rest is only known to be there.
LIMIT: Final = 100


class Findings:
    """Problems in the order in which they were found."""

    def __init__(self) -> None:
        self._found: list[Problem] = []
        #: Whether there are more than are listed.
        self.more = False

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, row: int | None, field: str | None, kind: ProblemKind, text: str) -> None:
        """Note one. `text` goes on after the name of the field: ``is missing``."""
        if len(self._found) >= LIMIT:
            self.more = True
            return
        what = text if field is None else f"{field} {text}"
        message = what if row is None else f"row {row}: {what}"
        self._found.append(Problem(row=row, field=field, kind=kind, message=message))

    @property
    def problems(self) -> list[Problem]:
        """By row, those of the whole request first."""
        return sorted(self._found, key=lambda problem: -1 if problem.row is None else problem.row)
