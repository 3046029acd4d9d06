"""Which device a short id belongs to: what operators said and what frames that carry both ids taught. Pure.

The first learnt pair stands: a forged login must not move another device's reports. Look-ups are exact and scoped by
protocol; nothing is guessed from a suffix.
"""

from __future__ import annotations

from collections import OrderedDict

CONFLICTS_LISTED = 1000
LEARNT_LIMIT = 2_000_000
"""Learnt pairs kept in memory (about 300 bytes each); more are not learnt, their ids stay as sent."""


class Aliases:
    """Shared by all sessions of a gateway; filled from the topics `aliases` and `devices` before the port opens."""

    def __init__(self) -> None:
        self._operator: dict[tuple[str, str], str] = {}
        self._learnt: dict[tuple[str, str], str] = {}
        self._unsent: list[tuple[str, str, str]] = []
        self.conflicts: OrderedDict[tuple[str, str, str], int] = OrderedDict()
        """(protocol, id, second device) -> how often it was claimed; the newest 1,000."""
        self._uncounted_conflicts = 0

    @property
    def learnt(self) -> int:
        """Number of learnt pairs."""
        return len(self._learnt)

    def lookup(self, protocol: str, short_id: str) -> str:
        """The device of an id: the operator's word, else the learnt pair, else empty."""
        key = (protocol, short_id)
        return self._operator.get(key) or self._learnt.get(key, "")

    def set_operator(self, protocol: str, short_id: str, device_id: str) -> None:
        self._operator[protocol, short_id] = device_id

    def forget_operator(self, protocol: str, short_id: str, device_id: str) -> None:
        """The operator took an alias of the device back."""
        if self._operator.get((protocol, short_id)) == device_id:
            del self._operator[protocol, short_id]

    def load(self, protocol: str, short_id: str, device_id: str) -> str:
        """Take a pair from the topic; returns the device that stands, which is another one when it came first."""
        return self._learnt.setdefault((protocol, short_id), device_id)

    def learn(self, protocol: str, short_id: str, device_id: str) -> bool:
        """Note a pair that a frame carried; False (and counted) when another one stands.

        New ones wait in `take_unsent`.
        """
        key = (protocol, short_id)
        standing = self._learnt.get(key)
        if standing is None:
            if len(self._learnt) < LEARNT_LIMIT:
                self._learnt[key] = device_id
                self._unsent.append((protocol, short_id, device_id))
            return True
        if standing == device_id:
            return True
        self._uncounted_conflicts += 1
        claim = (protocol, short_id, device_id)
        self.conflicts[claim] = self.conflicts.pop(claim, 0) + 1
        while len(self.conflicts) > CONFLICTS_LISTED:
            self.conflicts.popitem(last=False)
        return False

    def take_conflicts(self) -> int:
        """Conflicts since the last call, for the metric."""
        count, self._uncounted_conflicts = self._uncounted_conflicts, 0
        return count

    def take_unsent(self) -> list[tuple[str, str, str]]:
        """Pairs (protocol, id, device) learnt since the last call: durable before any frame that uses them."""
        unsent, self._unsent = self._unsent, []
        return unsent
