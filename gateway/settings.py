"""Settings of a gateway process: GATEWAY_* and the KAFKA_* that all processes share."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.clients.settings import setting
from schemas.topics import DEFAULT_PARTITIONS

PREFIX = "GATEWAY_"


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Loaded once by __main__; every field is GATEWAY_<NAME>."""

    host: str = setting("0.0.0.0", "address to listen on, TCP and UDP")
    port: int = setting(8888, "port to listen on, TCP and UDP; 0 takes a free one", low=0, high=65535)
    public_address: str = setting(
        "", "host:port at which devices reach this port, told to those that ask; empty: untold"
    )
    reuse_port: bool = setting(False, "several gateways on one machine share the port (SO_REUSEPORT)")
    kafka_bootstrap: str = setting("127.0.0.1:9092", "Kafka brokers, host:port separated by commas")
    kafka_partitions: int = setting(DEFAULT_PARTITIONS, "partition count of frames and its siblings", low=1, high=4096)
    id: str = setting("", "name of this gateway in records and session ids; empty: host name and process id")
    metrics_host: str = setting("127.0.0.1", "address of the metrics page")
    metrics_port: int = setting(9101, "port of the metrics page; 0 takes a free one", low=0, high=65535)
    linger_ms: int = setting(
        50, "grid on which records are cut; the first frame after a pause goes at once", low=1, high=5000
    )
    record_frames: int = setting(500, "frames in one record at most", low=1, high=5000)
    record_bytes: int = setting(256 * 1024, "frame bytes in one record at most", low=1024, high=900_000)
    buffer_bytes: int = setting(
        32 * 1024 * 1024, "waiting frames of all connections; beyond it nothing is read", low=65536
    )
    away_s: float = setting(3.0, "a record unacknowledged for so long means Kafka is away: nothing is read", low=0.1)
    connection_frames: int = setting(
        64, "unanswered frames of one connection; beyond it the connection is not read", low=1
    )
    connection_bytes: int = setting(65536, "unanswered frame bytes of one connection", low=1024)
    connections: int = setting(0, "connections at the same time; 0: what the limit on open files allows", low=0)
    idle_timeout_s: float = setting(1800.0, "silence after which an identified connection is closed", low=1)
    unknown_timeout_s: float = setting(60.0, "silence after which a connection that never identified is closed", low=1)
    unknown_devices: str = setting(
        "accept",
        "devices that nobody registered: accept, quarantine (stored, flagged, no events) or reject (kept, unanswered)",
        choices="accept quarantine reject",
    )
    new_ids: int = setting(
        100_000, "unregistered ids never seen before that are let in within an hour; not in the first 15 minutes", low=1
    )
    new_ids_per_address: int = setting(
        10_000, "the same for one address; operators put thousands of trackers behind one", low=1
    )
    udp_session_s: float = setting(600.0, "life of a UDP peer's session after its last datagram", low=1)
    udp_peers: int = setting(50_000, "UDP peers remembered at the same time, about 2 KiB each", low=1)
    reply_max_age_s: float = setting(30.0, "a reply older than this is not sent", low=1)
    tick_s: float = setting(10.0, "interval of the clock ticks written to every partition", low=0.1)
    drain_s: float = setting(10.0, "time for the last frames to become durable at shutdown", low=0.1)
    log_level: str = setting("INFO", "least severe message logged", choices="DEBUG INFO WARNING ERROR")
