-- legs: the way from each fix to the next one of the device, told at its end; the first fix has a leg of no length. kind: 1 moving, 0 still, 2 gap.
--   gap     longer than gap_s, and the place is another one (farther than trip_m): nobody knows what happened
--   moving  the mean speed reaches moving_kmh over more than noise_m, or the speed told at the end reaches it and the mean is at least a fifth of it
--           (a parked device that reports every ten minutes and has just driven off did not move for ten minutes)
pairs AS
(
    SELECT
        *,
        row_number() OVER (PARTITION BY device_id ORDER BY t, lat, lon, speed, engine) AS number,
        lagInFrame(t, 1, t) OVER before AS t0,
        lagInFrame(lat, 1, lat) OVER before AS lat0,
        lagInFrame(lon, 1, lon) OVER before AS lon0,
        lagInFrame(engine, 1, engine) OVER before AS engine0
    FROM fixes
    WINDOW before AS (PARTITION BY device_id ORDER BY t, lat, lon, speed, engine ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
),
legs AS
(
    SELECT
        *,
        (t - t0) / 1000 AS seconds,
        geoDistance(lon0, lat0, lon, lat) AS metres,
        multiIf(
            seconds > {gap_s:Float64}, if(metres > {trip_m:Float64}, 2, 0),
            speed >= {moving_kmh:Float64} AND metres * 18 >= {moving_kmh:Float64} * seconds, 1,
            metres > {noise_m:Float64} AND metres * 3.6 >= {moving_kmh:Float64} * seconds, 1,
            0) AS kind
    FROM pairs
)
