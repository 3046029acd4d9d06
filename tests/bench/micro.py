"""Microseconds per frame of each stage, per protocol, over frames of the simulator: best of several rounds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from gateway.aliases import Aliases
from gateway.batch import Batch
from gateway.protocols.base import Facts
from gateway.protocols.registry import PROTOCOLS, detect
from gateway.session import Session
from gateway.turn import OutFrame
from processors.decoders.registry import DECODERS
from processors.derive.entries import Report
from processors.derive.rules import Rules
from processors.derive.state import DeviceState
from processors.derive.step import step
from processors.frame_range import frame_key
from processors.partition import Partition
from schemas import codec
from schemas.records import Frame, FrameBatch
from tests.bench.samples import SAMPLES, VARIED, samples

ROUNDS = 7
FRAMES = 500


def best_us(work: Callable[[], Any], frames: int) -> float:
    """Least CPU time of a few rounds, microseconds per frame."""
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return round(min(times) / frames * 1e6, 2)


def run() -> dict[str, Any]:
    """Measure and print every stage of every protocol."""
    result: dict[str, Any] = {}
    print(f"\nmicroseconds per frame, {FRAMES} frames a record (nan: not measured for this protocol)")
    for protocol in SAMPLES:
        row = stages(protocol)
        if not result:
            print(f"{'':>10}" + "".join(f"{name.replace('_', ' '):>17}" for name in row))
        result[protocol] = row
        print(f"{protocol:>10}" + "".join(f"{value:>17}" for value in row.values()))
    return result


def stages(protocol: str) -> dict[str, float]:
    """One protocol. session: all that the port does with a chunk of one frame, identity and reply included."""
    payloads = samples(protocol, FRAMES)
    outs = receive(payloads)
    batch = Batch()
    for out in outs:
        batch.add_frame(out)
    record = batch.to_record("bench", 0)
    value = codec.encode(record)
    frames = [Frame(o.payload, o.protocol, o.device_id, o.received_ms, "tcp", o.row.dialect, o.row.login) for o in outs]
    decoder, module, facts = DECODERS[protocol], PROTOCOLS[protocol], Facts()
    rules = Rules.default()
    reports = [
        Report(p, f.device_id or "", protocol, f.received_ms or 0, frame_key(p, i, 0, 1), 1)
        for f in frames
        for i, p in enumerate(decoder.decode(f))
    ]
    outputs = Partition(0, "bench").process([(0, record)], rules, 1)
    found = {
        "detect": best_us(lambda: [detect(p, 0, "tcp", False) for p in payloads], FRAMES),
        "split": best_us(lambda: [module.split(p, 0, facts, True) for p in payloads], FRAMES),
        "session": best_us(lambda: receive(payloads), FRAMES),
        "decode": best_us(lambda: [decoder.decode(f) for f in frames], FRAMES),
        "step": best_us(lambda: _derive(reports, rules), len(reports)) if protocol in VARIED else float("nan"),
        "frames_encode": best_us(lambda: codec.encode(record), FRAMES),
        "frames_decode": best_us(lambda: codec.decode(value, FrameBatch), FRAMES),
        "partition": best_us(lambda: Partition(0, "bench").process([(0, record)], rules, 1), FRAMES),
        "positions_encode": best_us(lambda: codec.encode(outputs.receipt), FRAMES),
    }
    # What the port and the decoder spend on a frame: detection once a connection, but on every datagram.
    return {"detect_split_decode": round(found["detect"] + found["split"] + found["decode"], 2)} | found


def receive(payloads: list[bytes]) -> list[OutFrame]:
    """Frames as the port makes them of one chunk each."""
    session = Session("bench", "192.0.2.1:1", "tcp", 0, Aliases())
    session.facts.device_id = "bench"  # protocols whose frames carry no id are measured behind their login
    return [out for n, payload in enumerate(payloads) for out in session.receive(payload, 1_768_471_872_000 + n).frames]


def _derive(reports: list[Report], rules: Rules) -> None:
    state = DeviceState.new("bench")
    for report in reports:
        state = step(state, report, rules).state
