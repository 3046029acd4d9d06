-- fixes: the fixes that count, of the devices and the range asked for. t: milliseconds since the epoch; speed: km/h, -1 where the device told none; engine: 1 on, 0 off, 2 unknown.
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
        AND counts(valid, latitude, longitude, flags)
)
