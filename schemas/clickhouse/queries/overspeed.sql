-- overspeed: episodes above a speed limit, by the speed that the device tells
-- group: safety
-- include: counts fixes
-- parameters: devices from to limit_kmh hold_s
-- column device_id: device
-- column start_ms: first fix above the limit
-- column end_ms: last fix above it; hold_s without another one end an episode
-- column duration_s: from the first to the last fix above
-- column fixes: fixes above the limit
-- column limit_kmh: the limit that was asked for
-- column speed_max_kmh: highest speed
-- column speed_avg_kmh: mean of the fixes above the limit
-- column distance_m: along the fixes above the limit
-- column latitude: where it was fastest, degrees
-- column longitude: where it was fastest, degrees
SELECT
    device_id,
    fromUnixTimestamp64Milli(min(t), 'UTC') AS start_ms,
    fromUnixTimestamp64Milli(max(t), 'UTC') AS end_ms,
    round((max(t) - min(t)) / 1000) AS duration_s,
    count() AS fixes,
    {limit_kmh:Float64} AS limit_kmh,
    max(speed) AS speed_max_kmh,
    round(avg(speed), 1) AS speed_avg_kmh,
    round(sumIf(geoDistance(lon0, lat0, lon, lat), NOT begins)) AS distance_m,
    argMax(lat, (speed, -t)) AS latitude,
    argMax(lon, (speed, -t)) AS longitude
FROM
(
    SELECT *, t - t0 > {hold_s:Float64} * 1000 OR number = 1 AS begins, sum(begins) OVER (PARTITION BY device_id ORDER BY number) AS episode
    FROM
    (
        SELECT
            *,
            row_number() OVER (PARTITION BY device_id ORDER BY t, lat, lon, speed) AS number,
            lagInFrame(t, 1, t) OVER before AS t0,
            lagInFrame(lat, 1, lat) OVER before AS lat0,
            lagInFrame(lon, 1, lon) OVER before AS lon0
        FROM fixes
        WHERE speed > {limit_kmh:Float64}
        WINDOW before AS (PARTITION BY device_id ORDER BY t, lat, lon, speed ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
    )
)
GROUP BY device_id, episode
ORDER BY device_id, start_ms
