-- legs: the way from each fix to the next one of the device, told at its end; the first fix has a leg of no length. kind: see motion.
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
        motion(seconds, metres, speed) AS kind
    FROM pairs
)
