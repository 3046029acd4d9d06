-- daily: each device and day (UTC) in one row, computed from positions whenever it is read: right after late, repeated, corrected and withdrawn
-- rows, without a job that keeps it so. Distance: legs between fixes in a row that end while the device moves, so a parked receiver adds nothing;
-- fixes that a filter set aside and those at 0, 0 do not count (flags 32, 64, 1024: schemas.records.Flag).

CREATE VIEW IF NOT EXISTS lodestream.daily AS
SELECT
    day,
    device_id,
    positions,
    length(track) AS fixes,
    first_ms,
    last_ms,
    speed_max_kmh,
    round(arraySum(arrayMap((a, b) -> if(b.4, geoDistance(a.2, a.3, b.2, b.3), 0), arrayPopBack(track), arrayPopFront(track))), 1) AS distance_m
FROM
(
    SELECT
        toDate(time_ms) AS day,
        device_id,
        count() AS positions,
        min(time_ms) AS first_ms,
        max(time_ms) AS last_ms,
        maxIf(speed_kmh, is_fix) AS speed_max_kmh,
        arraySort(groupArrayIf((time_ms, assumeNotNull(longitude), assumeNotNull(latitude), ifNull(moving, false)), is_fix)) AS track
    FROM
    (
        SELECT device_id, time_ms, speed_kmh, longitude, latitude, moving,
            valid AND isNotNull(latitude) AND isNotNull(longitude) AND bitAnd(flags, 1120) = 0 AS is_fix
        FROM lodestream.positions
    )
    GROUP BY day, device_id
);
