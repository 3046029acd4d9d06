-- events: what was derived, in order
-- group: safety
-- parameters: devices from to kinds top
-- column time_ms: when it happened
-- column device_id: device
-- column kind: `lodestream events --kinds` explains them
-- column subject: the alarm, the geofence, ...
-- column latitude: where, degrees
-- column longitude: where, degrees
-- column attributes: figures of the event, JSON
SELECT time_ms, device_id, kind, subject, latitude, longitude, attributes
FROM lodestream.events
WHERE (empty({devices:Array(String)}) OR device_id IN {devices:Array(String)})
    AND (empty({kinds:Array(String)}) OR kind IN {kinds:Array(String)})
    AND time_ms >= {from:DateTime64(3, 'UTC')} AND time_ms < {to:DateTime64(3, 'UTC')}
ORDER BY device_id, time_ms, kind, subject
LIMIT {top:UInt32}
