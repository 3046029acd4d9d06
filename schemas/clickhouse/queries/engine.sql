-- engine: spells with the engine on, where the device tells the ignition
-- group: movement
-- include: counts fixes motion legs
-- parameters: devices from to gap_s trip_m noise_m moving_kmh
-- column device_id: device
-- column start_ms: first fix with the ignition on
-- column end_ms: first fix with it off again, or the last one before a gap in the reports
-- column duration_s: engine time
-- column moving_s: of that in motion
-- column idle_s: of that at rest
-- column distance_m: way along the fixes while moving
SELECT
    device_id,
    fromUnixTimestamp64Milli(min(t0), 'UTC') AS start_ms,
    fromUnixTimestamp64Milli(max(t), 'UTC') AS end_ms,
    round(sum(seconds)) AS duration_s,
    round(sumIf(seconds, kind = 1)) AS moving_s,
    round(sumIf(seconds, kind = 0)) AS idle_s,
    round(sumIf(metres, kind = 1)) AS distance_m
FROM
(
    SELECT *, engine0 = 1 AND seconds <= {gap_s:Float64} AS runs, sum(NOT runs) OVER (PARTITION BY device_id ORDER BY number) AS spell
    FROM legs
)
WHERE runs
GROUP BY device_id, spell
HAVING max(t) > min(t0)
ORDER BY device_id, start_ms
