"""Device clocks: which moment a report is of, when its device counts hours in a zone of its own.

A report's time is the fix's, else the device clock's, else arrival. Clocks that the protocol does not promise to be UTC
are corrected by what live reports show: their clock differs from arrival by a whole multiple of 15 minutes, as time
zones do, and by nothing else. A difference that is no such multiple is a late report, not a zone.
"""

from __future__ import annotations

from processors.derive.entries import Report
from processors.derive.rules import Parameters
from processors.derive.state import ABSENT_I4, ABSENT_I8, DeviceState
from schemas.records import Flag, Position

GRID_MS = 15 * 60_000
AGREE_MS = 2 * 60_000
"""Live reports lie this close to the grid, and to each other."""
VOTES = 3
ZONE_MIN_MS = 60 * 60_000
"""No zone is nearer to UTC than this: a smaller difference is a late report."""
ZONE_MAX_MS = 14 * 60 * 60_000
VOTE_SPACING_MS = 10_000
"""Votes arrive at least this far apart: a burst of stored reports must not vote."""
VOTE_SLACK_MS = 20_000

PLAIN = 0
LATE = int(Flag.LATE)
TIME_FUTURE = int(Flag.TIME_FUTURE)
CLOCK_CORRECTED = int(Flag.CLOCK_CORRECTED)


def literal_time_ms(position: Position) -> int | None:
    """The time that the report tells itself, as sent: the fix's, else the device clock's; None: it tells none.

    A time before 1970 is a clock that was never set and counts as none.
    """
    literal = position.fix_time_ms
    if literal is None or literal < 0:
        literal = position.device_time_ms
    return None if literal is None or literal < 0 else literal


def judge_time(state: DeviceState, report: Report, literal: int | None, parameters: Parameters) -> tuple[int, int]:
    """(time_ms, flags) of a report whose own time is `literal`; may learn, into `state`, which is the caller's copy.

    An error of the clock that the operator set wins for every protocol. Flags: TIME_FUTURE, CLOCK_CORRECTED.
    """
    if literal is None:
        return report.received_ms, PLAIN
    if parameters.clock_offset_s is not None:
        offset_ms = round(parameters.clock_offset_s * 1000)
    elif report.position.clock == "utc":
        offset_ms = 0
    else:
        offset_ms = _learnt_offset_ms(state, report)
    time_ms = literal - offset_ms
    if time_ms > report.received_ms + parameters.filter_future_s * 1000:
        return report.received_ms, TIME_FUTURE
    if time_ms < 0:
        return report.received_ms, PLAIN
    return time_ms, CLOCK_CORRECTED if offset_ms else PLAIN


def same_time(first_ms: int, literal: int | None, received_ms: int, parameters: Parameters) -> bool:
    """True when a report of literal time may have got first_ms as its time_ms before, with whatever was learnt then.

    Arrival stood in for a time of the future: then any earlier time may be it, and only the frame key tells. A report
    that tells no time is new each time it arrives.
    """
    if literal is None:
        return first_ms == received_ms
    shift_ms, override_s = literal - first_ms, parameters.clock_offset_s
    if override_s is not None and shift_ms == round(override_s * 1000):
        return True
    if shift_ms % GRID_MS == 0 and abs(shift_ms) <= ZONE_MAX_MS:
        return True
    ahead_ms = literal - (round(override_s * 1000) if override_s else 0) - received_ms
    return min(shift_ms, ahead_ms) > parameters.filter_future_s * 1000


def _learnt_offset_ms(state: DeviceState, report: Report) -> int:
    if state.clock_revision != report.revision:  # the decoder reads times differently now: what was learnt is void
        state.clock_revision = report.revision
        state.clock_offset_ms = state.clock_candidate_ms = state.clock_error_ms = ABSENT_I4
        state.clock_voted_ms = ABSENT_I8
        state.clock_votes = 0
    position = report.position
    told = position.device_time_ms if position.device_time_ms is not None else position.fix_time_ms
    if told is not None and not position.attributes.get("archive"):
        error_ms = told - report.received_ms
        zone_ms = (error_ms + GRID_MS // 2) // GRID_MS * GRID_MS
        if abs(error_ms - zone_ms) <= AGREE_MS and (zone_ms == 0 or ZONE_MIN_MS <= abs(zone_ms) <= ZONE_MAX_MS):
            _vote(state, report.received_ms, error_ms, zone_ms)
    return 0 if state.clock_offset_ms == ABSENT_I4 else state.clock_offset_ms


def _vote(state: DeviceState, received_ms: int, error_ms: int, zone_ms: int) -> None:
    """Count a report that may be live. Three in a row that agree set the offset; what is known already counts nothing.

    Between two live reports the device's clock moves as arrival does. That a stored report is zone-like late is chance,
    and the next one of the upload, or of a receiver that repeats its last time, then does not move so.
    """
    if zone_ms == state.clock_offset_ms:
        if state.clock_votes:
            state.clock_votes = 0
        return
    votes = 1
    if state.clock_votes and zone_ms == state.clock_candidate_ms:
        arrived_ms = received_ms - state.clock_voted_ms
        moved_ms = arrived_ms + error_ms - state.clock_error_ms
        if arrived_ms < VOTE_SPACING_MS or moved_ms <= 0:
            return
        if abs(error_ms - state.clock_error_ms) <= AGREE_MS and moved_ms <= 2 * arrived_ms + VOTE_SLACK_MS:
            votes = state.clock_votes + 1
    state.clock_votes = votes
    state.clock_candidate_ms = zone_ms
    state.clock_error_ms = error_ms
    state.clock_voted_ms = received_ms
    if votes >= VOTES:
        state.clock_offset_ms = zone_ms
        state.clock_votes = 0
