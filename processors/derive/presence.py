"""device_online, device_offline, device_unknown, device_inactive: is the device there?

Whatever a device sends is a sign of life: a report, also a late one or one sent again, a heartbeat, a new connection.
The end of its newest connection is not (an older one that is given up later, by another gateway say, means nothing).
Silence is told by ticks: unknown_after_s without a sign makes an online device unknown, inactive_after_s raises
device_inactive. The time during which the line itself was down does not count as silence.
"""

from __future__ import annotations

from collections.abc import Iterable

from processors.derive.rules import Parameters
from processors.derive.state import ABSENT_I8, OFFLINE, ONLINE, SILENT, DeviceState
from schemas.records import Attribute, Event

Pauses = tuple[tuple[int, int], ...]


def is_news(state: DeviceState, received_ms: int, session: int) -> bool:
    """True when a sign of life at received_ms changes the state."""
    if state.heard_ms == ABSENT_I8 or received_ms > state.heard_ms:
        return True
    return received_ms == state.heard_ms and state.presence == ONLINE and session not in (0, state.session)


def hear(state: DeviceState, received_ms: int, session: int) -> list[Event]:
    """Note a sign of life that is news; the events are device_online, or none."""
    state.heard_ms = received_ms
    state.inactive_told = 0
    if session:
        state.session = session
    if state.presence == ONLINE:
        return []
    state.presence = ONLINE
    return [Event(state.device_id, "device_online", received_ms, received_ms=received_ms)]


def close(state: DeviceState, time_ms: int, session: int) -> list[Event]:
    """Note the end of a connection; the events are device_offline, or none: one that ended before the device was last heard
    is not the newest."""
    if state.presence != ONLINE or time_ms < state.heard_ms or (session and state.session and session != state.session):
        return []
    state.presence = OFFLINE
    state.heard_ms = time_ms
    return [Event(state.device_id, "device_offline", time_ms, received_ms=time_ms)]


def paused_since(pauses: Iterable[tuple[int, int]], since_ms: int) -> int:
    """How much of the time after since_ms the line was down, ms."""
    return sum(end_ms - max(begin_ms, since_ms) for begin_ms, end_ms in pauses if end_ms > since_ms)


def unknown_deadline_ms(state: DeviceState, parameters: Parameters, pauses: Pauses) -> int | None:
    """When an online device becomes unknown unless it is heard; None: it is not online."""
    if state.presence != ONLINE:
        return None
    return state.heard_ms + round(parameters.unknown_after_s * 1000) + paused_since(pauses, state.heard_ms)


def inactive_deadline_ms(state: DeviceState, parameters: Parameters, pauses: Pauses) -> int | None:
    """When device_inactive is due next; None: never."""
    if parameters.inactive_after_s is None or state.heard_ms == ABSENT_I8:
        return None
    after_s = parameters.inactive_after_s
    if state.inactive_told:
        if parameters.inactive_repeat_s is None:
            return None
        after_s += parameters.inactive_repeat_s * state.inactive_told
    return state.heard_ms + round(after_s * 1000) + paused_since(pauses, state.heard_ms)


def derive_silence(state: DeviceState, now_ms: int, parameters: Parameters, pauses: Pauses) -> list[Event]:
    """What the clock tells of a silent device; events are dated at their deadline.

    Where several repeats of device_inactive passed at once only the last one is told.
    """
    events = []
    heard_ms = state.heard_ms
    deadline_ms = unknown_deadline_ms(state, parameters, pauses)
    if deadline_ms is not None and deadline_ms <= now_ms:
        state.presence = SILENT
        silent_s = round((deadline_ms - heard_ms) / 1000, 1)
        events.append(
            Event(state.device_id, "device_unknown", deadline_ms, "", now_ms, attributes={"silent_s": silent_s})
        )
    deadline_ms = inactive_deadline_ms(state, parameters, pauses)
    if deadline_ms is not None and deadline_ms <= now_ms:
        repeats = 0
        if parameters.inactive_repeat_s is not None:
            repeats = int((now_ms - deadline_ms) / 1000 // parameters.inactive_repeat_s)
            deadline_ms += round(repeats * parameters.inactive_repeat_s * 1000)
        state.inactive_told += 1 + repeats
        silent_s = round((deadline_ms - heard_ms) / 1000, 1)
        told: dict[str, Attribute] = {"silent_s": silent_s, "count": state.inactive_told}
        events.append(Event(state.device_id, "device_inactive", deadline_ms, "", now_ms, attributes=told))
    return events
