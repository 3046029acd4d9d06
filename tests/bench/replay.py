"""How fast history is decoded again: records of frames to encoded outputs, on one core, Kafka left aside."""

from __future__ import annotations

from typing import Any

from gateway.batch import Batch
from processors.derive.rules import Rules
from processors.replay.rework import Rework
from processors.replay.selection import Selection
from schemas import codec
from schemas.records import FrameBatch
from tests.bench.micro import FRAMES, best_us, receive
from tests.bench.samples import VARIED, samples


def run() -> dict[str, Any]:
    """Measure and print."""
    found: dict[str, Any] = {}
    for protocol in VARIED:
        batch = Batch()
        for out in receive(samples(protocol, FRAMES)):
            batch.add_frame(out)
        value = codec.encode(batch.to_record("bench", 0))

        def work(value: bytes = value) -> None:
            rework = Rework(0, 1, "bench", Rules.default(), Selection(0, 2**62))
            for output in rework.work([(0, codec.decode(value, FrameBatch))]):
                codec.encode(output)

        spent_us = best_us(work, FRAMES)
        found[protocol] = {"us_per_frame": spent_us, "frames_per_s_and_core": round(1e6 / spent_us)}
    told = ", ".join(f"{protocol} {row['frames_per_s_and_core']:,}" for protocol, row in found.items())
    print(f"\nreplay, frames/s and core (aim 20,000): {told}")
    return found
