"""A channel that fails again and again is left alone for a while, and then tried once."""

from __future__ import annotations


class Pause:
    """What this process knows of one channel; times are its clock's."""

    def __init__(self, after: int, length: float) -> None:
        self.configure(after, length)
        self._failures = 0
        self._until = 0.0
        self._probe_until = 0.0
        self.said = ""
        """How the last try ended; empty where it went well."""

    def configure(self, after: int, length: float) -> None:
        """Leave it alone for ``length`` seconds after so many failures in a row."""
        self._after, self._length = after, length

    @property
    def failing(self) -> bool:
        """Whether it is left alone, or being tried."""
        return self._failures >= self._after

    def ready(self, now: float, limit: float) -> float:
        """Return 0 for who may send, which takes up to ``limit``; else when to ask again."""
        if not self.failing:
            return 0.0
        if now < self._until:
            return self._until
        if now < self._probe_until:
            return self._probe_until
        self._probe_until = now + limit
        return 0.0

    def note(self, code: str, now: float) -> bool:
        """Take down how a try ended, "" where it went well; say whether the channel is left alone from now on."""
        was_failing = self.failing
        self._failures = self._failures + 1 if code else 0
        self._probe_until = 0.0
        self._until = now + self._length if self.failing else 0.0
        self.said = code
        return self.failing and not was_failing
