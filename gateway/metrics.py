"""Metrics of a gateway, declared once. Protocol and reason labels are bounded by the registry and by enums."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.clients.metrics import COUNT_BUCKETS, LATENCY_BUCKETS_S, AgeHistogram


class GatewayMetrics:
    """Numbers that tell an operator what the port does."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, doc: str, *labels: str) -> Counter:
            return Counter(f"gateway_{name}", doc, labels, registry=registry)

        def gauge(name: str, doc: str, *labels: str) -> Gauge:
            return Gauge(f"gateway_{name}", doc, labels, registry=registry)

        def seconds(name: str, doc: str) -> Histogram:
            return Histogram(f"gateway_{name}", doc, buckets=LATENCY_BUCKETS_S, registry=registry)

        self.connections = gauge("connections", "Open TCP connections and live UDP peers.", "transport")
        self.opened = counter("sessions_opened", "Sessions begun.", "transport")
        self.closed = counter("sessions_closed", "Sessions ended, by reason.", "transport", "reason")
        self.refused = counter("connections_refused", "Connections closed at once because the limit was reached.")
        self.bytes_in = counter("received_bytes", "Bytes received.", "transport")
        self.frames = counter("frames", "Complete frames by detected protocol.", "protocol")
        self.frame_bytes = counter("frame_bytes", "Bytes of complete frames by detected protocol.", "protocol")
        self.unknown = counter(
            "unknown_bytes", "Bytes given up undecided: published, never answered. Look at `rejected`."
        )
        self.no_identity = counter("no_identity_frames", "Frames whose connection never identified.", "protocol")
        self.replies = counter("replies", "Replies written, one write each may answer several frames.")
        self.replies_dropped = counter("replies_dropped", "Replies not sent.", "reason")
        self.reply_seconds = AgeHistogram(
            "gateway_reply_seconds", "From the last byte of a chunk to its reply being written.", "transports"
        )
        registry.register(self.reply_seconds)
        self.produce_seconds = seconds("produce_seconds", "From handing a record to Kafka to its acknowledgement.")
        self.produce_failures = counter(
            "produce_failures", "Failed sends; each is repeated. More than a few: see the broker."
        )
        self.record_frames = Histogram(
            "gateway_record_frames", "Frames in a record.", buckets=COUNT_BUCKETS, registry=registry
        )
        self.waiting_bytes = gauge("waiting_bytes", "Payload and overhead of frames that are not durable yet.")
        self.paused = gauge("paused_connections", "Connections that are not read: their replies or Kafka are behind.")
        self.udp_dropped = counter("udp_dropped", "Datagrams dropped unanswered, by reason.", "reason")
        self.alias_conflicts = counter("alias_conflicts", "Second devices claimed for an id: counted, never applied.")
        self.unregistered = counter(
            "unregistered_frames", "Frames of devices that nobody registered, under the policies quarantine and reject."
        )
        self.limited = counter(
            "new_ids_limited_frames", "Frames not let in because too many new ids came, by limit.", "limit"
        )
        self.aliases = gauge("aliases", "Learnt pairs of short id and IMEI.")
