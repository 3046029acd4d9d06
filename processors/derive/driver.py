"""driver_changed, command_result: words of a device that are events by themselves."""

from __future__ import annotations

from zlib import crc32

from processors.derive.reading import Reading
from processors.derive.state import DeviceState
from schemas.records import Attribute

DRIVER_CHARACTERS = 64
RESULT_CHARACTERS = 500


def derive_driver(state: DeviceState, reading: Reading) -> None:
    """driver_changed: another driver_id than the last one; also the first ever, for then somebody signed in.

    The subject is the new driver.
    """
    told = reading.position.attributes.get("driver_id")
    if reading.late or told is None or isinstance(told, bool):
        return
    driver_id = str(told).strip()[:DRIVER_CHARACTERS]
    if not driver_id or driver_id == state.driver_id:
        return
    attributes: dict[str, Attribute] = {"driver_id": driver_id}
    if state.driver_id:
        attributes["previous_driver_id"] = state.driver_id
    name = reading.position.attributes.get("driver_name")
    if isinstance(name, str) and name:
        attributes["driver_name"] = name[:DRIVER_CHARACTERS]
    reading.raise_here("driver_changed", driver_id, attributes)
    state.driver_id = driver_id


def derive_command_result(reading: Reading) -> None:
    """command_result: what a device answered to a command. A late one is a fact too.

    The subject is the CRC-32 of the words: two answers in one moment are two events.
    """
    told = reading.position.attributes.get("command_result")
    if told is None:
        return
    result = str(told)[:RESULT_CHARACTERS]
    attributes: dict[str, Attribute] = {"result": result}
    if reading.late:
        attributes["late"] = True
    reading.raise_here("command_result", f"{crc32(result.encode('utf-8', 'surrogatepass')):08x}", attributes)
