-- latest: the newest valid position of each device
-- group: fleet
-- parameters: devices top
-- column device_id: device
-- column protocol: what it speaks
-- column time_ms: time of the report
-- column received_ms: when it arrived
-- column latitude: degrees
-- column longitude: degrees
-- column speed_kmh: as told
-- column course_deg: clockwise from true north
-- column ignition: engine on
-- column battery_percent: as told
-- column power_v: supply
-- column moving: in motion, as derived
SELECT
    device_id, protocol, time_ms, received_ms, latitude, longitude, speed_kmh, course_deg, ignition, battery_percent, power_v, moving
FROM lodestream.latest
WHERE (empty({devices:Array(String)}) OR device_id IN {devices:Array(String)})
ORDER BY device_id
LIMIT {top:UInt32}
