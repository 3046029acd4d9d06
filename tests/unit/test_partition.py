"""What a partition makes of the kinds of frames and entries: the parts that crashes do not touch."""

from __future__ import annotations

from gateway.aliases import Aliases
from gateway.batch import Batch
from gateway.session import Session
from processors.derive.rules import Rules
from processors.frame_range import Outputs
from processors.partition import PROBATION_DEVICES, PROBATION_REPORTS, SLICES, Partition
from schemas.records import EntryKind, Flag, FrameBatch, FrameKind

NOW_MS = 1_768_471_872_000  # 2026-01-15 10:11:12
RULES = Rules.default()


def fix(device_id: str, second: int = 0) -> bytes:
    return f"*HQ,{device_id},V1,1011{12 + second:02},A,5130.2500,N,00007.6500,W,000.00,045,150126,FFFFFFFF#".encode()


def record(
    *payloads: bytes, kind: FrameKind = FrameKind.FRAME, transport: str = "tcp", ticks: tuple[int, ...] = ()
) -> FrameBatch:
    """A record of one session, in which every frame is of this kind, opened before and closed behind them."""
    batch = Batch()
    session = Session("s1", "192.0.2.1:1", transport, NOW_MS, Aliases())
    for payload in payloads:
        turn = session.datagram(payload, NOW_MS) if transport == "udp" else session.receive(payload, NOW_MS)
        for device_id in turn.opened:
            batch.add_entry(session.row, EntryKind.OPENED, device_id, NOW_MS)
        for out in turn.frames:
            out.kind = kind
            batch.add_frame(out)
    for device_id in session.devices:
        batch.add_entry(session.row, EntryKind.CLOSED, device_id, NOW_MS + 1)
    batch.ticks_ms += ticks
    return batch.to_record("g", 0)


def feed(partition: Partition, batch: FrameBatch) -> Outputs:
    outputs = partition.process([(partition.next, batch)], RULES, 1)
    assert partition.apply(outputs.receipt, partition.output_next)
    return outputs


def kinds(outputs: Outputs) -> list[str]:
    return [kind for batch in outputs.events for kind in batch.events.kind]


def test_openings_and_closings_make_events_and_the_end_of_a_udp_session_does_not() -> None:
    assert kinds(feed(Partition(0, "t"), record(fix("8800123456")))) == ["device_online", "device_offline"]
    assert kinds(feed(Partition(0, "t"), record(fix("8800123456"), transport="udp"))) == ["device_online"]


def test_a_heartbeat_is_a_sign_of_life() -> None:
    partition = Partition(0, "t")
    outputs = feed(partition, record(b"*HQ,8800123456,HTBT,98#"))
    assert kinds(outputs)[0] == "device_online"
    assert partition.states["8800123456"].heard_ms == NOW_MS + 1


def test_frames_of_unknown_devices_are_rejected_and_change_nothing() -> None:
    partition = Partition(0, "t")
    batch = record(fix("8800123456"), kind=FrameKind.UNKNOWN_DEVICE)
    batch.entries = record().entries  # a gateway writes no entries for them
    outputs = feed(partition, batch)
    assert outputs.rejected[0].rejected.reason == ["unknown_device"]
    assert outputs.rejected[0].rejected.device_id == ["8800123456"]
    assert outputs.receipt.positions.device_id == []
    assert partition.states == {}


def test_quarantined_frames_are_stored_flagged_without_events_or_state() -> None:
    partition = Partition(0, "t")
    batch = record(fix("8800123456"), fix("8800123456", 1), kind=FrameKind.QUARANTINED)
    batch.entries = record().entries
    outputs = feed(partition, batch)
    rows = outputs.receipt.positions
    assert rows.device_id == ["8800123456"] * 2
    assert all(flags & Flag.QUARANTINED for flags in rows.flags)
    assert rows.time_ms == [NOW_MS, NOW_MS + 1000]
    assert outputs.events == []
    assert partition.states == {}


def test_ticks_reach_devices_that_say_nothing() -> None:
    partition = Partition(0, "t")
    batch = record(fix("8800123456"))
    batch.entries = record().entries
    feed(partition, batch)
    found = [kinds(feed(partition, record(ticks=(NOW_MS + s * 1000,)))) for s in range(0, 700, 10)]
    assert [(n * 10, told) for n, told in enumerate(found) if told] == [(600, ["device_unknown"])]
    assert partition.clock.now_ms == NOW_MS + 690_000


def test_made_up_ids_cannot_fill_the_memory() -> None:
    partition = Partition(0, "t")
    real = [fix("8800123456", n) for n in range(PROBATION_REPORTS)]
    feed(partition, record(*real))
    for start in range(0, PROBATION_DEVICES + 2000, 1000):
        feed(partition, record(*(fix(f"{9_000_000_000 + n}") for n in range(start, start + 1000))))
    assert len(partition.states) == PROBATION_DEVICES + 1
    assert "8800123456" in partition.states  # whoever reported often enough stays
    assert "9000000000" not in partition.states
    again = Partition(0, "t")
    again.load_snapshots(partition.snapshots(0, list(range(SLICES))))
    assert again.states == partition.states
