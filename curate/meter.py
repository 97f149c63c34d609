"""Progress of a run on stderr: bars where there is a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from curate.apply import NodeStats

_EVERY = 5.0  # seconds between plain lines


class Meter:
    """Told of steps and finished parts; shows rows, rows/s, kept share and ETA for each node."""

    def __init__(self, stream: TextIO | None = None, quiet: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._console = Console(file=self._stream)
        self._live: Live | None = None
        self._title, self._total, self._done = "", 0, 0
        self._began = self._told = time.monotonic()
        self._nodes: Mapping[str, NodeStats] = {}
        self._before: dict[str, int] = {}

    def __enter__(self) -> Meter:
        if self._console.is_terminal and not self._quiet:
            self._live = Live(console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._tell(final=True)
        if self._live is not None:
            self._live.stop()

    def step(self, title: str, total: int) -> None:
        """A new step of `total` parts begins."""
        self._tell(final=True)
        self._title, self._total, self._done = title, total, 0
        self._began = self._told = time.monotonic()
        self._nodes, self._before = {}, {}
        self._draw()

    def advance(self, nodes: Mapping[str, NodeStats] | None = None) -> None:
        """One more part is done; `nodes` are the totals of the step's nodes so far."""
        self._done += 1
        self._nodes = nodes or self._nodes
        if self._live is not None:
            self._draw()
        elif time.monotonic() - self._told > _EVERY:
            self._tell()

    def lines(self) -> list[str]:
        """The present state as text, a line for the step and one for each node."""
        seconds = max(time.monotonic() - self._began, 1e-6)
        eta = seconds / self._done * (self._total - self._done) if self._done else 0.0
        left = f", ETA {_clock(eta)}" if 0 < self._done < self._total else ""
        lines = [f"{self._title}: {self._done}/{self._total} parts in {_clock(seconds)}{left}"]
        lines += [
            f"  {name}: {s.rows_in:,} rows, {s.rows_in / seconds:,.0f} rows/s, {_share(s)} kept{left}"
            for name, s in self._nodes.items()
        ]
        return lines

    def _tell(self, final: bool = False) -> None:
        if self._quiet or self._live is not None or not self._title or (final and not self._done):
            return
        self._told = time.monotonic()
        print("\n".join(self.lines()), file=self._stream, flush=True)
        if final:
            self._title = ""

    def _draw(self) -> None:
        if self._live is None:
            return
        seconds = max(time.monotonic() - self._began, 1e-6)
        table = Table.grid(padding=(0, 2))
        for name, s in self._nodes.items():
            table.add_row(f"  {name}", f"{s.rows_in:,} rows", f"{s.rows_in / seconds:,.0f}/s", _share(s))
        head = Table.grid(padding=(0, 2))
        head.add_row(self.lines()[0], ProgressBar(total=max(self._total, 1), completed=self._done, width=30))
        self._live.update(Group(head, table))


def _share(stats: NodeStats) -> str:
    return f"{stats.rows_out / stats.rows_in:.1%}" if stats.rows_in else "-"


def _clock(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)}:{int(seconds % 60):02d} min"
