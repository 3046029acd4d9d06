"""Topic names, their settings, and which partition a key belongs to. One count serves frames and all its siblings."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

FRAMES = "frames"
POSITIONS = "positions"
EVENTS = "events"
REJECTED = "rejected"
SNAPSHOTS = "snapshots"
SESSIONS = "sessions"
DEVICES = "devices"
ALIASES = "aliases"
GROUPS = "groups"
GEOFENCES = "geofences"

REPLAY = "replay."

DAY_MS = 86_400_000
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
DEFAULT_PARTITIONS = 8


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic: what it holds, its retention, and whether the newest record of each key is kept for ever."""

    name: str
    record: str
    doc: str
    retention_ms: int = 14 * DAY_MS
    retention_bytes: int = -1
    compacted: bool = False
    partitioned: bool = True

    def config(self) -> dict[str, str]:
        """Kafka topic configuration."""
        common = {"max.message.bytes": str(MAX_MESSAGE_BYTES)}
        if self.compacted:
            return common | {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.2", "segment.ms": "3600000"}
        return common | {
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_ms),
            "retention.bytes": str(self.retention_bytes),
        }


TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic(FRAMES, "FrameBatch", "raw frames, as received", retention_bytes=64 * 1024**3),
        Topic(POSITIONS, "PositionBatch", "decoded positions; receipt and changelog of the track agent"),
        Topic(EVENTS, "EventBatch", "derived events", retention_ms=30 * DAY_MS),
        Topic(REJECTED, "RejectedBatch", "frames that did not decode, undecided bytes"),
        Topic(REPLAY + POSITIONS, "PositionBatch", "positions that a replay decoded again", retention_ms=3 * DAY_MS),
        Topic(REPLAY + EVENTS, "EventBatch", "events that a replay derived again", retention_ms=3 * DAY_MS),
        Topic(REPLAY + REJECTED, "RejectedBatch", "what a replay could not decode either", retention_ms=3 * DAY_MS),
        Topic(SNAPSHOTS, "Snapshot", "device states by partition and slice", compacted=True),
        Topic(SESSIONS, "SessionBatch", "what became of connections", retention_ms=30 * DAY_MS),
        Topic(DEVICES, "Device", "what the operator says of devices", compacted=True, partitioned=False),
        Topic(GROUPS, "Group", "groups of devices", compacted=True, partitioned=False),
        Topic(GEOFENCES, "Geofence", "places that devices enter and leave", compacted=True, partitioned=False),
        Topic(ALIASES, "Alias", "short ids and the IMEI they belong to", compacted=True, partitioned=False),
    )
}


def partition_of(key: str, count: int) -> int:
    """Partition of a device id (or of a session id until the device is known): CRC-32 of its UTF-8 bytes mod count."""
    return crc32(key.encode("utf-8", "surrogateescape")) % count
