"""Sentences that quote what customers' models say of themselves: any text goes in, one that can be kept comes out."""

from __future__ import annotations

from typing import Final

#: Characters. An event has to fit into a message of the bus, and people have to read it.
LONGEST: Final = 2000
_ELLIPSIS: Final = "…"


def keepable(sentence: str, longest: int = LONGEST) -> str:
    """The sentence, cut to `longest` characters, without what no database or bus can hold (NUL, lone surrogates).

    A name in somebody's graph stands in the reason for refusing it. It must not be able to stop the deployer.
    """
    short = sentence if len(sentence) <= longest else sentence[: longest - 1] + _ELLIPSIS
    return short.replace("\x00", "\ufffd").encode(errors="replace").decode()
