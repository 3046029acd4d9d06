"""Undecided bytes looked at again, with today's table: a replay may recognise what the gateway of that day could not."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.protocols.base import Facts, Status
from gateway.protocols.registry import detect, strong_start
from processors.decoders.registry import DECODERS
from schemas.errors import FrameError, Reason
from schemas.records import Frame


def redetect(frame: Frame) -> Iterator[tuple[Frame, Reason | None]]:
    """Frames of a known protocol in undecided bytes, each with None, or the bytes themselves with the reason.

    Only frames that carry their own id count: the gateway of that day bound no session.
    """
    data, facts = frame.payload, Facts(transport=frame.transport, device_id=frame.device_id or "")
    module, start = detect(data, 0, frame.transport, True)[:2]
    if module is None:
        start, module = strong_start(data, 0)
    found = []
    while module is not None and module.NAME in DECODERS and start < len(data):
        try:
            status, begin, end = module.split(data, start, facts, True)
        except FrameError:
            break
        if status is not Status.FRAME:
            break
        payload = data[begin:end]
        identity = module.identify(payload, facts)
        device_id = identity.imei or identity.id or facts.device_id
        if not device_id:
            break
        found.append(
            Frame(payload, module.NAME, device_id, frame.received_ms, frame.transport, facts.dialect, facts.login)
        )
        start = end
    if not found:
        yield frame, Reason.UNDECIDED
    for unit in found:
        yield unit, None
