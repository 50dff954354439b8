"""The demo's stage: what every act uses, and the record of what held."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.panel import Panel

from roost.embedded.demo.api import Api
from roost.ports.clock import Clock
from roost.ports.serving import NodeAddress
from roost.settings import Settings


@dataclass(slots=True, kw_only=True)
class Record:
    """Statements that were checked, and figures for the final table."""

    broken: list[str] = field(default_factory=list)
    figures: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The local stack as the acts see it."""

    settings: Settings
    state_dir: Path
    api: Api
    clock: Clock
    console: Console
    #: Replicas of the default pool.
    nodes: tuple[NodeAddress, ...]
    #: One address before all replicas, as a Kubernetes Service would be: ``host:port`` for REST and for gRPC.
    front_rest: str
    front_grpc: str
    record: Record = field(default_factory=Record)

    def title(self, number: int, text: str) -> None:
        """Begin an act."""
        self.console.print(Panel(text, title=f"{number}", title_align="left", style="bold"))

    def say(self, text: str) -> None:
        """Something that needs no proof."""
        self.console.print(f"  {text}", highlight=False)

    def check(self, holds: bool, text: str) -> None:
        """State `text`; where it does not hold, say so and remember it."""
        self.console.print(f"  {'[green]✓[/]' if holds else '[red]✗ NOT SO:[/]'} {text}", highlight=False)
        if not holds:
            self.record.broken.append(text)

    def figure(self, name: str, value: str) -> None:
        """A line of the final table."""
        self.record.figures.append((name, value))
