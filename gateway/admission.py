"""Which devices are let in: the policy for those that nobody registered, and limits for made-up ids. Pure.

The verdict is given once, here, and travels as the kind of the frame; workers obey it. Registered devices are never
limited. An id counts as new when this gateway has not seen it; new ids are counted by hour, for each address (mobile
operators put thousands of trackers behind one) and for the gateway. Just after its start a gateway has seen nobody: for
WARM_UP_MS only the limit of addresses holds, or a large fleet could not come back.
"""

from __future__ import annotations

from enum import StrEnum

from schemas.records import FrameKind

HOUR_MS = 3_600_000
WARM_UP_MS = 15 * 60_000
GENERATION = 500_000
"""Ids seen that are remembered, twice: when a generation is full the one before it is forgotten. 100 bytes each."""
ADDRESSES = 50_000
"""Addresses whose new ids are counted in an hour; those beyond share one count."""


class Policy(StrEnum):
    """What becomes of devices that nobody registered."""

    ACCEPT = "accept"
    QUARANTINE = "quarantine"
    """Stored and flagged; no events, not in `latest`."""
    REJECT = "reject"
    """Published, rejected as unknown_device, never answered."""


class Admission:
    """Shared by all sessions of a gateway; `registered` is filled from the topic `devices` before the port opens."""

    def __init__(self, policy: Policy, new_ids: int, new_ids_per_address: int, started_ms: int) -> None:
        self.registered: set[str] = set()
        self.limited = {"address": 0, "gateway": 0}
        """Frames refused by each limit, for the metric."""
        self.unregistered = 0
        """Frames under the policies quarantine and reject, for the metric."""
        self._policy = policy
        self._new_ids = new_ids
        self._new_ids_per_address = new_ids_per_address
        self._warm_ms = started_ms + WARM_UP_MS
        self._seen: set[int] = set()
        self._seen_before: set[int] = set()
        self._hour = 0
        self._new = 0
        self._new_of: dict[str, int] = {}

    def admit(self, device_id: str, address: str, now_ms: int) -> FrameKind:
        """The kind under which a frame of this device is published."""
        if device_id in self.registered:
            return FrameKind.FRAME
        if self._policy is Policy.REJECT:
            self.unregistered += 1
            return FrameKind.UNKNOWN_DEVICE
        key = hash(device_id)
        if key not in self._seen and key not in self._seen_before and not self._take_new(key, address, now_ms):
            return FrameKind.UNKNOWN_DEVICE
        if self._policy is Policy.ACCEPT:
            return FrameKind.FRAME
        self.unregistered += 1
        return FrameKind.QUARANTINED

    def _take_new(self, key: int, address: str, now_ms: int) -> bool:
        """Count a new id; False when a limit is reached."""
        if now_ms // HOUR_MS != self._hour:
            self._hour, self._new = now_ms // HOUR_MS, 0
            self._new_of.clear()
        if address not in self._new_of and len(self._new_of) >= ADDRESSES:
            address = ""
        count = self._new_of.get(address, 0)
        if count >= self._new_ids_per_address:
            self.limited["address"] += 1
            return False
        if self._new >= self._new_ids and now_ms >= self._warm_ms:
            self.limited["gateway"] += 1
            return False
        self._new_of[address] = count + 1
        self._new += 1
        self._seen.add(key)
        if len(self._seen) >= GENERATION:
            self._seen_before, self._seen = self._seen, set()
        return True
