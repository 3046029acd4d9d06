-- quality: what the data of each device is worth: shares, gaps, delay, jumps
-- group: fleet
-- parameters: devices from to gap_s jump_kmh
-- column device_id: device
-- column positions: reports of any kind
-- column no_fix_percent: share without a place
-- column invalid_percent: share with a place that the device itself calls invalid
-- column filtered_percent: share that a filter set aside
-- column late_percent: share that came later than a newer report
-- column gaps: times that no report came for longer than gap_s
-- column longest_gap_s: the longest of them
-- column delay_p50_s: half of the reports arrived within this time
-- column delay_p99_s: 99 of 100 arrived within this time
-- column jumps: valid fixes that would need more than jump_kmh from the valid one before
-- column first_ms: first report
-- column last_ms: last report
SELECT
    device_id,
    count() AS positions,
    round(100 * countIf(NOT has_place) / positions, 2) AS no_fix_percent,
    round(100 * countIf(has_place AND NOT valid) / positions, 2) AS invalid_percent,
    round(100 * countIf(bitTest(flags, 6)) / positions, 2) AS filtered_percent,
    round(100 * countIf(bitTest(flags, 0)) / positions, 2) AS late_percent,
    countIf(pause_s > {gap_s:Float64}) AS gaps,
    if(gaps = 0, NULL, max(pause_s)) AS longest_gap_s,
    round(quantileExact(0.5)(delay_s), 1) AS delay_p50_s,
    round(quantileExact(0.99)(delay_s), 1) AS delay_p99_s,
    countIf(counts AND metres * 3.6 > {jump_kmh:Float64} * greatest(1, fix_pause_s)) AS jumps,
    min(time_ms) AS first_ms,
    max(time_ms) AS last_ms
FROM
(
    SELECT
        *,
        (t - lagInFrame(t, 1, t) OVER before) / 1000 AS pause_s,
        (t - lagInFrame(t, 1, t) OVER alike) / 1000 AS fix_pause_s,
        geoDistance(lagInFrame(lon, 1, lon) OVER alike, lagInFrame(lat, 1, lat) OVER alike, lon, lat) AS metres
    FROM
    (
        SELECT
            device_id, time_ms, valid, flags,
            toUnixTimestamp64Milli(time_ms) AS t,
            isNotNull(latitude) AND isNotNull(longitude) AS has_place,
            valid AND has_place AND NOT bitTest(flags, 5) AS counts,
            ifNull(latitude, 0) AS lat,
            ifNull(longitude, 0) AS lon,
            (toUnixTimestamp64Milli(received_ms) - t) / 1000 AS delay_s
        FROM lodestream.positions
        WHERE (empty({devices:Array(String)}) OR device_id IN {devices:Array(String)})
            AND time_ms >= {from:DateTime64(3, 'UTC')} AND time_ms < {to:DateTime64(3, 'UTC')}
    )
    WINDOW
        before AS (PARTITION BY device_id ORDER BY t, lat, lon ROWS BETWEEN 1 PRECEDING AND CURRENT ROW),
        alike AS (PARTITION BY device_id, counts ORDER BY t, lat, lon ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
)
GROUP BY device_id
ORDER BY device_id
