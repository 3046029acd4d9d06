"""The kinds of events: the vocabulary of the topic `events`, the view `events`, webhooks and the command line."""

from __future__ import annotations

KINDS: dict[str, str] = {
    "device_moving": "a trip began",
    "device_stopped": "a trip ended, dated where the stop began: distance_m, duration_s, speed_max_kmh, speed_average_kmh",
    "overspeed_started": "faster than the limit: speed_kmh, limit_kmh, limit_source (who set it)",
    "overspeed_ended": "no longer faster: speed_max_kmh, duration_s, distance_m, limit_kmh, limit_source",
    "geofence_entered": "came into a geofence (the subject)",
    "geofence_exited": "went out of a geofence: duration_s inside",
    "geofence_crossed": "went through a geofence between two fixes",
    "geofence_dwell": "was in a geofence for dwell_s",
    "alarm_raised": "the device's own alarm (the subject)",
    "alarm_cleared": "an alarm that is a state is over",
    "ignition_on": "the ignition was switched on",
    "ignition_off": "the ignition was switched off",
    "power_cut": "external power went away: evidence, power_v",
    "power_restored": "external power came back: evidence, power_v",
    "fuel_drop": "the fuel level fell and stayed: before, after and change in percent or litres",
    "fuel_increase": "the fuel level rose and stayed: before, after and change in percent or litres",
    "device_online": "a sign of life after none",
    "device_offline": "its connection was closed",
    "device_unknown": "online, and silent for too long: silent_s",
    "device_inactive": "silent for very long: silent_s, count",
    "driver_changed": "another driver: driver_id, previous_driver_id",
    "maintenance_due": "a period of distance or engine_hours (the subject) is complete: count",
    "command_result": "what the device answered to a command: result",
}
"""Kind -> what happened, and the attributes that tell more."""
