-- trips: drives between stops, one row each
-- group: movement
-- include: counts fixes motion legs segments
-- parameters: devices from to gap_s stop_s trip_m noise_m moving_kmh
-- column device_id: device
-- column start_ms: when it began; a trip that began before the range begins with the first fix in it
-- column end_ms: when it ended
-- column duration_s: from begin to end, short stops included
-- column distance_m: way along the fixes while moving
-- column moving_s: time in motion
-- column idle_s: time at rest with the engine on, where the device tells the ignition
-- column speed_avg_kmh: distance over the time in motion
-- column speed_max_kmh: highest speed told; empty: none was told
-- column start_latitude: place of the begin, degrees
-- column start_longitude: place of the begin, degrees
-- column end_latitude: place of the end, degrees
-- column end_longitude: place of the end, degrees
SELECT
    device_id,
    fromUnixTimestamp64Milli(begin, 'UTC') AS start_ms,
    fromUnixTimestamp64Milli(end, 'UTC') AS end_ms,
    round((end - begin) / 1000) AS duration_s,
    round(moved_m) AS distance_m,
    round(segments.moving_s) AS moving_s,
    round(segments.idle_s) AS idle_s,
    round(moved_m / nullIf(segments.moving_s, 0) * 3.6, 1) AS speed_avg_kmh,
    if(speed_max < 0, NULL, speed_max) AS speed_max_kmh,
    first_place.1 AS start_latitude,
    first_place.2 AS start_longitude,
    last_place.1 AS end_latitude,
    last_place.2 AS end_longitude
FROM segments
WHERE kind = 1
ORDER BY device_id, start_ms
