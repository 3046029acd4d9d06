"""Devices, groups and geofences, record by record, and the Rules that they make. Pure.

What costs is kept: the fences of geofences that did not change, the index while no geofence changed, and one Parameters
object for all devices of a group that have none of their own.
"""

from __future__ import annotations

from dataclasses import replace

from processors.derive.fences import Fence, FenceIndex, fence_from
from processors.derive.rules import SERVER_PARAMETERS, Parameters, Rules, parameters_from
from schemas.records import Attribute, Device, Geofence, Group
from schemas.topics import DEVICES, GEOFENCES, GROUPS

Record = Device | Group | Geofence
RULE_TOPICS = (DEVICES, GROUPS, GEOFENCES)


NOTHING: dict[str, Attribute] = {}


class RuleBook:
    """All records that were put and not removed. server: the parameters that hold where nobody says otherwise."""

    def __init__(self, server: Parameters = SERVER_PARAMETERS) -> None:
        self._server = server
        self._following = dict.fromkeys(RULE_TOPICS, 0)
        self._own: dict[str, dict[str, Attribute]] = {}
        self._group_of: dict[str, str] = {}
        self._devices: dict[str, Parameters] = {}
        self._groups: dict[str, Parameters] = {}
        self._members: dict[str, set[str]] = {}
        self._geofences: dict[str, Geofence] = {}
        self._fences: dict[str, Fence] = {}
        self._fences_revision = 0
        self._index = FenceIndex()

    def put(self, record: Record, offset: int) -> str | None:
        """Take a record at an offset of its topic; returns why not, when it is refused: then the one before it stands.

        Where a device's own parameters contradict those of its group as it is now, the group's hold alone.
        """
        try:
            if isinstance(record, Device):
                self._following[DEVICES] = offset + 1
                self._put_device(record)
            elif isinstance(record, Group):
                self._following[GROUPS] = offset + 1
                self._groups[record.group_id] = parameters_from(record.parameters, self._server, "group")
                self._lay(record.group_id)
            else:
                self._following[GEOFENCES] = offset + 1
                self._put_geofence(record, offset + 1)
        except ValueError as error:
            return str(error)
        return None

    def remove(self, topic: str, key: str, offset: int) -> None:
        """Forget the record of a key."""
        self._following[topic] = offset + 1
        if topic == DEVICES:
            self._own.pop(key, None)
            self._leave_group(key)
            self._devices.pop(key, None)
        elif topic == GROUPS:
            self._groups.pop(key, None)
            self._lay(key)
        elif self._fences.pop(key, None) is not None:
            del self._geofences[key]
            self._fences_revision = offset + 1

    def rules(self) -> Rules:
        """The rules of now. revision: the sum of the offsets behind the last record of each topic.

        groups and registered are not copied: with many devices they are large, and they show later changes at once.
        """
        if self._index.revision != self._fences_revision:
            self._index = FenceIndex(self._fences.values(), self._fences_revision)
        return Rules(
            sum(self._following.values()),
            self._server,
            dict(self._devices),
            self._index,
            self._group_of,
            self._own.keys(),
        )

    def _put_device(self, device: Device) -> None:
        device_id, own = device.device_id, device.parameters or NOTHING
        laid = self._laid(own, device.group_id)
        self._own[device_id] = own
        if self._group_of.get(device_id, "") != device.group_id:
            self._leave_group(device_id)
            if device.group_id:
                self._group_of[device_id] = device.group_id
                self._members.setdefault(device.group_id, set()).add(device_id)
        self._take(device_id, laid)

    def _leave_group(self, device_id: str) -> None:
        self._members.get(self._group_of.pop(device_id, ""), set()).discard(device_id)

    def _laid(self, own: dict[str, Attribute], group_id: str) -> Parameters:
        """The parameters of a device over those of its group over the server's. Raises ValueError."""
        base = self._groups.get(group_id, self._server)
        return parameters_from(own, base) if own else base

    def _lay(self, group_id: str) -> None:
        """A group changed: let its members have its parameters under their own."""
        for device_id in self._members.get(group_id, ()):
            try:
                laid = self._laid(self._own[device_id], group_id)
            except ValueError:
                laid = self._groups.get(group_id, self._server)
            self._take(device_id, laid)

    def _take(self, device_id: str, parameters: Parameters) -> None:
        if parameters is self._server:
            self._devices.pop(device_id, None)
        else:
            self._devices[device_id] = parameters

    def _put_geofence(self, geofence: Geofence, revision: int) -> None:
        before, fence = self._geofences.get(geofence.geofence_id), self._fences.get(geofence.geofence_id)
        if before is not None and fence is not None and _place_of(before) == _place_of(geofence):
            speed_limit_kmh, dwell_s = geofence.speed_limit_kmh or None, geofence.dwell_s or None
            fence = replace(fence, name=geofence.name, speed_limit_kmh=speed_limit_kmh, dwell_s=dwell_s)
        else:
            fence = fence_from(geofence, revision)
        self._geofences[geofence.geofence_id] = geofence
        self._fences[geofence.geofence_id] = fence
        self._fences_revision = revision


def _place_of(geofence: Geofence) -> tuple[object, ...]:
    """What makes a geofence another place, or another's: the rest may change without a new baseline."""
    scope = sorted(geofence.device_ids), sorted(geofence.group_ids)
    return geofence.geometry, geofence.radius_m, geofence.width_m, scope
