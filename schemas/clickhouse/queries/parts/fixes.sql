-- fixes: what counts as a fix in the reports: valid, with a place, and neither at 0, 0 nor set aside by a filter nor of a quarantined device
-- (flags 32, 64, 1024: schemas.records.Flag). t: milliseconds since the epoch; speed: km/h, -1 where the device told none; engine: 1 on, 0 off, 2 unknown.
fixes AS
(
    SELECT
        device_id,
        time_ms,
        toUnixTimestamp64Milli(time_ms) AS t,
        assumeNotNull(latitude) AS lat,
        assumeNotNull(longitude) AS lon,
        ifNull(speed_kmh, -1) AS speed,
        ifNull(toUInt8(ignition), 2) AS engine
    FROM lodestream.positions
    WHERE (empty({devices:Array(String)}) OR device_id IN {devices:Array(String)})
        AND time_ms >= {from:DateTime64(3, 'UTC')} AND time_ms < {to:DateTime64(3, 'UTC')}
        AND valid AND isNotNull(latitude) AND isNotNull(longitude) AND bitAnd(flags, 1120) = 0
)
