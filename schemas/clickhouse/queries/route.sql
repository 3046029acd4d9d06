-- route: the fixes of devices in order, for a map
-- group: movement
-- include: counts
-- parameters: devices from to top
-- column device_id: device
-- column time_ms: time of the report
-- column latitude: degrees
-- column longitude: degrees
-- column altitude_m: metres above the sea
-- column speed_kmh: as told
-- column course_deg: clockwise from true north
-- column ignition: engine on
-- column odometer_m: as told
-- column satellites: used for the fix
-- column alarms: raised by the device
SELECT
    device_id, time_ms, latitude, longitude, altitude_m, speed_kmh, course_deg, ignition, odometer_m, satellites, alarms
FROM lodestream.positions
WHERE (empty({devices:Array(String)}) OR device_id IN {devices:Array(String)})
    AND time_ms >= {from:DateTime64(3, 'UTC')} AND time_ms < {to:DateTime64(3, 'UTC')}
    AND counts(valid, latitude, longitude, flags)
ORDER BY device_id, time_ms, latitude, longitude
LIMIT {top:UInt32}
