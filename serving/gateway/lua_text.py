"""Values as Lua source, as `json` writes them as JSON: for tables that a script finds things in.

A table in a script is found in at once, however large. Envoy's own ways to hand a script a table (metadata, context)
copy the whole of it for every request: 5 ms of processor time at ten thousand names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final

#: LuaJIT takes 65,536 constants in one function; an entry has a few.
_PER_FUNCTION: Final = 5_000
#: Characters that stand for themselves in a string.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:\[\]-]*")


def literal(value: object) -> str:
    """A string, number, truth value, list or mapping with text keys as a Lua expression.

    Raises:
        TypeError: for anything else.
    """
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return _text(value)
        case Mapping():
            return "{" + ",".join(f"[{_text(str(key))}]={literal(each)}" for key, each in value.items()) + "}"
        case Sequence():
            return "{" + ",".join(map(literal, value)) + "}"
    raise TypeError(f"{type(value).__name__} has no form in Lua here")


def filled(name: str, entries: Mapping[str, object]) -> str:
    """Statements that make `name` a global table of these entries."""
    lines, waiting = [f"{name} = {{}}"], iter(entries.items())
    while part := list(islice(waiting, _PER_FUNCTION)):
        fills = "\n".join(f"t[{_text(key)}]={literal(value)}" for key, value in part)
        lines.append(f"(function(t)\n{fills}\nend)({name})")
    # A call that begins with a parenthesis would be taken for the arguments of the line before it.
    return ";\n".join(lines) + ";\n"


def _text(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return f'"{value}"'
    # Every byte but the plainest by its number: nothing in a name or label can end the string.
    return '"' + "".join(_character(byte) for byte in value.encode()) + '"'


def _character(byte: int) -> str:
    plain = chr(byte)
    return plain if _PLAIN.fullmatch(plain) else f"\\{byte:03d}"
