"""How a request is refused."""

from __future__ import annotations

from serving.node.app.findings import Findings


class Refused(Exception):
    """The request is not answered. `status` is HTTP's; the text is for the caller."""

    def __init__(self, status: int, text: str, findings: Findings | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.findings = findings or Findings()
