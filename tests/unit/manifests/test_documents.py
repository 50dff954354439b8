"""What the documents tell people to type exists: commands with their options, make targets, files that links lead to."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.unit.manifests.known import complaint

PAGES = sorted([*Path("docs").rglob("*.md"), *Path().glob("*.md")])
TARGETS = set(re.findall(r"^([a-z][a-z0-9-]*):", Path("Makefile").read_text(), re.MULTILINE))


def commands(page: Path) -> list[list[str]]:
    """The commands in code, placeholders filled in; not the mere name of one, as in `roost up --port`."""
    text = page.read_text()
    code = re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL) + re.findall(r"(?:^    .*\n)+", text, re.MULTILINE)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    lines = [line for block in code for line in block.splitlines()] + spans
    found = []
    for line in lines:
        for shown in re.findall(
            r"(?:^|[$;&(] ?|-- |\bbin/)\s*(roost(?: (?! )[^#|;&)]*?)?)(?=  |$|[#|;&)])", line.strip()
        ):
            try:
                words = shlex.split(shown.replace("…", "x"), comments=True)
            except ValueError:
                continue
            if words[0] == "roost" and len(words) > 1:
                found.append(words[1:])
    return found


def filled(words: list[str]) -> list[str]:
    """Placeholders become values; what is optional goes."""
    kept = [word for word in words if not word.startswith("[") and not word.endswith("]")]
    return [{"NAME=NUMBER": "console=1"}.get(word, word) for word in kept]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_command_of_a_page_exists_with_its_options(page: Path) -> None:
    wrong = {" ".join(words): complaint(filled(words)) for words in commands(page)}
    # A page may name a group, or leave out an argument; it may not name what there is not.
    excused = ("Missing", "needs a command")
    assert {shown: why for shown, why in wrong.items() if why and not any(one in why for one in excused)} == {}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_make_target_of_a_page_exists(page: Path) -> None:
    assert set(re.findall(r"`make ([a-z][a-z0-9-]*)", page.read_text())) - TARGETS == set()


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
