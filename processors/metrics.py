"""Metrics of a track worker, declared once. Labels are bounded: protocols and kinds by registries, reasons by an enum."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.clients.metrics import COUNT_BUCKETS, LATENCY_BUCKETS_S


class TrackMetrics:
    """Numbers that tell an operator how decoding and derivation go."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, doc: str, *labels: str) -> Counter:
            return Counter(f"track_{name}", doc, labels, registry=registry)

        def seconds(name: str, doc: str) -> Histogram:
            return Histogram(f"track_{name}", doc, buckets=LATENCY_BUCKETS_S, registry=registry)

        self.frames = counter("frames", "Frames decoded, by protocol.", "protocol")
        self.positions = counter("positions", "Positions written.")
        self.duplicates = counter("duplicates", "Reports that were sent again: their row stands already.")
        self.events = counter("events", "Events derived, by kind.", "kind")
        self.rejected = counter("rejected", "Frames and bytes written to `rejected`, by reason.", "reason")
        self.process_seconds = seconds("process_seconds", "Decoding and deriving one range of records.")
        self.frame_seconds = counter("frame_seconds", "CPU time of decoding and deriving, to divide by frames.")
        self.send_seconds = seconds("send_seconds", "From sending a range's outputs to the receipt's acknowledgement.")
        self.receipt_seconds = seconds(
            "receipt_seconds", "From a frame's arrival to its range's receipt, oldest of range."
        )
        self.range_frames = Histogram(
            "track_range_frames", "Frames in a range.", buckets=COUNT_BUCKETS, registry=registry
        )
        self.range_records = Histogram(
            "track_range_records", "Records in a range.", buckets=COUNT_BUCKETS, registry=registry
        )
        self.lag = Gauge("track_lag_records", "Records that wait in frames.", ["partition"], registry=registry)
        self.devices = Gauge("track_devices", "Devices with state.", ["partition"], registry=registry)
        self.skipped = counter("skipped", "Records skipped because their outputs stand already.")
        self.missing = counter(
            "missing_records", "Records of frames that retention removed before they were processed."
        )
        self.load_seconds = seconds("load_seconds", "Loading the state of a partition.")
        self.snapshots = counter("snapshots", "Slices of state written.")
        self.send_failures = counter(
            "send_failures", "Failed sends; each is repeated. More than a few: see the broker."
        )
