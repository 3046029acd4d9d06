"""power_cut, power_restored: is the tracker fed from outside?

Evidence, the first that a report has: the level alarm power_cut, the alarms power_cut and power_restored, external power
in volts below power_cut_v or from power_restored_v on. The first word is a silent baseline, but for an alarm that is an
event code: that is a fact.
"""

from __future__ import annotations

from processors.derive.reading import Reading
from processors.derive.rules import Parameters
from processors.derive.state import ABSENT_U1, DeviceState
from schemas.records import Attribute

CUT = 0
PRESENT = 1


def derive_power(state: DeviceState, reading: Reading, parameters: Parameters) -> None:
    """Compare what a report that is not late says with the state."""
    if reading.late:
        return
    position = reading.position
    alarms, volts, evidence = position.alarms, position.power_v, "alarm"
    pulse = False
    if "power_cut" in position.level_alarms:
        power = CUT if "power_cut" in alarms else PRESENT
    elif "power_cut" in alarms:
        power, pulse = CUT, True
    elif "power_restored" in alarms:
        power, pulse = PRESENT, True
    elif volts is not None and volts < parameters.power_cut_v:
        power, evidence = CUT, "power_v"
    elif volts is not None and volts >= parameters.power_restored_v:
        power, evidence = PRESENT, "power_v"
    else:
        return
    if power == state.power:
        return
    if state.power != ABSENT_U1 or pulse:
        attributes: dict[str, Attribute] = {"evidence": evidence}
        if volts is not None:
            attributes["power_v"] = round(volts, 3)
        reading.raise_here("power_restored" if power else "power_cut", attributes=attributes)
    state.power = power
