"""Settings of a worker process: WORKER_*."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.clients.settings import setting
from schemas.topics import DEFAULT_PARTITIONS

PREFIX = "WORKER_"


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Loaded once by __main__; every field is WORKER_<NAME>."""

    role: str = setting("track", "what this worker does", choices="track sink webhook")
    id: str = setting("0", "ordinal of this worker among those of its role; two live workers must not share one")
    kafka_bootstrap: str = setting("127.0.0.1:9092", "Kafka brokers, host:port separated by commas")
    kafka_partitions: int = setting(DEFAULT_PARTITIONS, "partition count of frames and its siblings", low=1, high=4096)
    group: str = setting("lodestream", "prefix of the consumer groups")
    session_timeout_s: float = setting(10.0, "silence after which Kafka gives a worker's partitions to others", low=6)
    metrics_host: str = setting("127.0.0.1", "address of the metrics page")
    metrics_port: int = setting(9102, "port of the metrics page; 0 takes a free one", low=0, high=65535)
    send_timeout_s: float = setting(30.0, "time for one output to be acknowledged before it is sent again", low=1)
    coalesce_records: int = setting(16, "waiting records processed together at most", low=1, high=64)
    coalesce_frames: int = setting(2000, "frames processed together at most", low=1)
    coalesce_bytes: int = setting(256 * 1024, "frame bytes processed together at most", low=1024)
    pace_ms: int = setting(
        200, "grid on which a busy partition is processed; the first record after a pause goes at once; 0: none", low=0
    )
    unpacked_devices: int = setting(
        500, "devices of a partition whose state is kept ready, 2 KB each; the others are packed, 0.6 KB each", low=1
    )
    snapshot_s: float = setting(600.0, "time in which every slice of the state is written once", low=1)
    watchdog_s: float = setting(60.0, "records waiting and none processed for so long: the worker exits", low=5)
    speed_limit_kmh: float = setting(0.0, "speed limit of devices that have none of their own, km/h; 0: none", low=0)
    clickhouse_url: str = setting("http://127.0.0.1:8123", "ClickHouse HTTP interface")
    clickhouse_user: str = setting("", "ClickHouse user")
    clickhouse_password: str = setting("", "ClickHouse password")
    clickhouse_database: str = setting("lodestream", "ClickHouse database")
    sink_flush_s: float = setting(1.0, "longest wait of rows for their block", low=0.01)
    sink_events_flush_s: float = setting(0.25, "longest wait of events for their block", low=0.01)
    sink_block_rows: int = setting(20_000, "rows that make a block full", low=1)
    webhook_url: str = setting(
        "", "role webhook: where events are posted; each receiver takes a WORKER_GROUP of its own"
    )
    webhook_secret: str = setting("", "role webhook: key of the signature; empty: requests are not signed")
    webhook_kinds: str = setting("", "role webhook: kinds that are sent, separated by commas; empty: all")
    webhook_devices: str = setting(
        "", "role webhook: device ids whose events are sent, separated by commas; empty: all"
    )
    webhook_timeout_s: float = setting(10.0, "role webhook: time for an answer", low=0.1, high=300)
    webhook_batch: int = setting(100, "role webhook: events in one request at most", low=1, high=10_000)
    webhook_retry_max_s: float = setting(60.0, "role webhook: longest wait before a try, Retry-After included", low=0.1)
    log_level: str = setting("INFO", "least severe message logged", choices="DEBUG INFO WARNING ERROR")
