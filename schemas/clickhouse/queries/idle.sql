-- idle: where and how long devices stood with the engine on
-- group: movement
-- include: counts fixes motion legs
-- parameters: devices from to gap_s trip_m noise_m moving_kmh idle_s
-- column device_id: device
-- column start_ms: first fix at rest with the ignition on
-- column end_ms: when it moved, stopped the engine, or was last heard
-- column duration_s: how long
-- column latitude: where, degrees
-- column longitude: where, degrees
SELECT
    device_id,
    fromUnixTimestamp64Milli(min(t0), 'UTC') AS start_ms,
    fromUnixTimestamp64Milli(max(t), 'UTC') AS end_ms,
    round(sum(seconds)) AS duration_s,
    argMin(lat0, number) AS latitude,
    argMin(lon0, number) AS longitude
FROM
(
    SELECT
        *,
        kind = 0 AND engine0 = 1 AND seconds <= {gap_s:Float64} AS idles,
        sum(NOT idles) OVER (PARTITION BY device_id ORDER BY number) AS spell
    FROM legs
)
WHERE idles
GROUP BY device_id, spell
HAVING sum(seconds) >= {idle_s:Float64}
ORDER BY device_id, start_ms
