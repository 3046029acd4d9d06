"""What `lodestream status` sees: Kafka, ClickHouse, the processes, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

from deploy.local.counters import Window
from schemas.topics import EVENTS, FRAMES, POSITIONS, REJECTED, SESSIONS

ROLE_TOPICS = {"track": (FRAMES,), "sink": (POSITIONS, EVENTS, REJECTED, SESSIONS), "webhook": (EVENTS,)}
"""What each role of workers reads."""


@dataclass(slots=True)
class TopicState:
    """Partitions and records of a topic, kept and ever written; written a second while we looked, None: once only."""

    partitions: int
    kept: int
    ever: int
    per_s: float | None = None


@dataclass(slots=True)
class KafkaState:
    """What Kafka tells. lags: records that wait, by role; None: that role has never committed. lag_changes: a second."""

    topics: dict[str, TopicState] = field(default_factory=dict)
    lags: dict[str, int | None] = field(default_factory=dict)
    lag_changes: dict[str, float] = field(default_factory=dict)
    error: str = ""


@dataclass(slots=True)
class Stranger:
    """An address that sent something in the last hour and never said who it is."""

    address: str
    protocol: str
    sessions: int


@dataclass(slots=True)
class StoreState:
    """What ClickHouse tells. rows: by view, None where counting took too long; newest_age_s: of the last arrival.

    rejected: in the last hour, by reason, the most frequent first. strangers: of the last hour, the most frequent ones of
    stranger_count. devices_heard: with a report that arrived in the last hour.
    """

    version: str = ""
    rows: dict[str, int | None] = field(default_factory=dict)
    devices: int | None = None
    devices_heard: int = 0
    newest_age_s: float | None = None
    rejected: dict[str, int] = field(default_factory=dict)
    strangers: list[Stranger] = field(default_factory=list)
    stranger_count: int = 0
    error: str = ""


@dataclass(slots=True)
class Report:
    """Everything seen, and the sentences about what is wrong; `down`: a part does not answer.

    pages: the readings of each metrics page, None where none answered.
    """

    kafka: KafkaState
    store: StoreState
    pages: dict[str, Window | None]
    problems: list[str] = field(default_factory=list)
    down: bool = False
