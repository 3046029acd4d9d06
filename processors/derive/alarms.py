"""alarm_raised, alarm_cleared: the device's own alarms, once each. The subject of the event is the alarm's name.

A pulse (an event code) is a fact of its report and is raised with each new one; with a late one it has the attribute
late: true. A level (a status bit that stays) is raised on its edge; the first report that tells of it is a silent
baseline, for a bit may stand for years, except for sos: nobody may wait for a second one. Where devices are known to set
even that bit for years the decoder names it in `silent_alarms`.
"""

from __future__ import annotations

from functools import lru_cache

from processors.derive.reading import Reading
from processors.derive.state import DeviceState

NEVER_SILENT = frozenset({"sos"})
NOTHING: frozenset[str] = frozenset()


@lru_cache(maxsize=4096)
def _split(names: str) -> frozenset[str]:
    return frozenset(names.split(",")) if names else NOTHING


def _joined(names: frozenset[str]) -> str:
    return ",".join(sorted(names))


def derive_alarms(state: DeviceState, reading: Reading) -> None:
    """Raise the pulses of the report, and the edges of its levels unless it is late."""
    position = reading.position
    levels = position.level_alarms
    if position.alarms:
        for name in dict.fromkeys(position.alarms):
            if name not in levels:
                reading.raise_here("alarm_raised", name, {"late": True} if reading.late else None)
    if levels and not reading.late:
        _derive_levels(state, reading, levels)


def _derive_levels(state: DeviceState, reading: Reading, levels: frozenset[str]) -> None:
    """Levels that this report does not tell of keep what they were."""
    before = _split(state.levels)
    now = levels.intersection(reading.position.alarms)
    known = _split(state.levels_known)
    if now != before or not levels <= known:
        for name in sorted(now - before):
            if name in known or (name in NEVER_SILENT and name not in reading.position.silent_alarms):
                reading.raise_here("alarm_raised", name)
        cleared = (before & levels) - now
        for name in sorted(cleared):
            reading.raise_here("alarm_cleared", name)
        state.levels = _joined((before - cleared) | now)
        state.levels_known = _joined(known | levels)
