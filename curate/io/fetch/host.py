"""What is known of a host while a batch is fetched: how many ask it, when it may be asked, if it lives."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# After so many failures to get any answer in a row, a host is thought dead.
_MISSES = 5
# Failures of the way to a host, or of its patience; what it answers with is no sign of death.
_SILENCE = frozenset({"deferred.dns", "deferred.unreachable", "deferred.timeout"})
# Waits that a server asks for beyond a day are no news to anybody.
_MAX_WAIT = 24 * 3600.0


@dataclass
class Host:
    """One host of a batch, by name, whatever the port."""

    slots: asyncio.Semaphore
    opens: float = 0.0  # not asked before (`Retry-After`), on the clock that `note` is given
    closed_by: str = ""  # the reason that `opens` was set for
    _misses: int = field(default=0, init=False)
    _spared: int = field(default=0, init=False)
    _silence: str = field(default="", init=False)

    def dead(self) -> str:
        """The reason of the last failures where the host is thought dead; "" where it is to be asked.

        Each call counts as one that would ask. One in 2, 4, 8 ... asks all the same: it may be alive again,
        and the first images of a host must not stand between a rerun and all its others.
        """
        if self._misses < _MISSES:
            return ""
        self._spared += 1
        return self._silence if self._spared & (self._spared - 1) else ""

    def note(self, reason: str, retry_after: float, now: float) -> None:
        """Learn from one request."""
        if reason in _SILENCE:
            self._misses += 1
            self._silence = reason
        else:
            self._misses = self._spared = 0
        if retry_after and now + retry_after > self.opens:
            self.opens, self.closed_by = now + retry_after, reason


class Hosts(dict[str, Host]):
    """All hosts of a batch, made when they are first asked for."""

    def __init__(self, per_host: int) -> None:
        super().__init__()
        self._per_host = per_host

    def __missing__(self, name: str) -> Host:
        found = self[name] = Host(asyncio.Semaphore(self._per_host))
        return found


def seconds_to_wait(value: str | None, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> float:
    """`Retry-After`, a number of seconds or a date; 0 where it says nothing sensible."""
    if value is None:
        return 0.0
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return min(float(value), _MAX_WAIT)
    try:
        date = parsedate_to_datetime(value)
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)) - clock()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(seconds.total_seconds(), 0.0), _MAX_WAIT)
