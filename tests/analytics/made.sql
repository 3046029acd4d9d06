-- One day of a made fleet: 333 reports of each device, three drives of 40 minutes at 30 s, and parked reports about every eleven minutes.
-- A device drives on a curve of two circles, so neighbours differ as on a road; receivers have noise; half of the parked ones freeze their place.
-- Three reports of ten come a second late. The engine runs on for a while after the first drive.
-- Of ten devices four report what tk103 and h02 tell (no hdop, battery, altitude, satellites), four what gt06 tells, and two fill every column.
INSERT INTO positions_raw (device_id, protocol, time_ms, frame_key, version, withdrawn, fix_offset_ms, device_offset_ms, delay_ds, valid,
    latitude_e7, longitude_e7, altitude_m, speed_x10, course_x10, satellites, hdop_x10, accuracy_x10, ignition, odometer_m, battery_percent_x10,
    battery_mv, power_mv, rssi, fuel_percent_x10, flags, moving, alarms, cells, wifi, attributes)
SELECT
    toString(864035000000000 + device) AS device_id,
    multiIf(kind = 0, if(device % 2, 'tk103', 'h02'), kind = 1, 'gt06', 'jt808') AS protocol,
    fromUnixTimestamp64Milli({day_ms:Int64} + toInt64(second + (bitShiftRight(h, 44) % 10 < 3)) * 1000, 'UTC') AS time_ms,
    toUInt32(h) AS frame_key,
    0, 0, 0,
    if(kind = 2, 0, 9223372036854775807) AS device_offset_ms,
    toInt64(if(h % 100 < 97, 6 + bitShiftRight(h, 8) % 25, 600 + bitShiftRight(h, 8) % 9000)) AS delay_ds,
    1,
    toInt32((latitude + noise_m * sin(h % 6283 / 1000) / 111320) * 1e7) AS latitude_e7,
    toInt32((longitude + noise_m * cos(h % 6283 / 1000) / 111320 / cos(radians(latitude))) * 1e7) AS longitude_e7,
    if(kind = 0, 32767, toInt16(120 + 60 * sin(way * 0.02) + bitShiftRight(h, 30) % 3)) AS altitude_m,
    toUInt16(if(drives, greatest(0, kmh + toFloat64(bitShiftRight(h, 24) % 5) - 2) * 10, 0)) AS speed_x10,
    toUInt16(if(drives OR kind = 2, modulo(degrees(atan2(east, north)) + 360, 360) * 10, 0)) AS course_x10,
    if(kind = 0, 255, 9 + bitShiftRight(h, 27) % 6) AS satellites,
    if(kind = 2, 6 + bitShiftRight(h, 20) % 8, 255) AS hdop_x10,
    if(kind = 2, toUInt16(20 + bitShiftRight(h, 21) % 30), 65535) AS accuracy_x10,
    toUInt8(drives OR row BETWEEN 111 AND 112) AS ignition,
    if(kind = 1, 4294967295, toUInt32(1000000 * (device % 300) + way * 360)) AS odometer_m,
    if(kind = 0, 65535, toUInt16(1000 - bitShiftRight(h, 33) % 3)) AS battery_percent_x10,
    if(kind = 2, toUInt16(4100 - bitShiftRight(h, 34) % 4), 65535) AS battery_mv,
    if(kind = 2, toUInt16(if(drives, 14100, 12600) + bitShiftRight(h, 36) % 120 - 60), 65535) AS power_mv,
    if(kind = 0, 32767, toInt16(2 + bitShiftRight(h, 40) % 3)) AS rssi,
    if(kind = 2, toUInt16(800 - modulo(way, 4000) / 8), 65535) AS fuel_percent_x10,
    0,
    toUInt8(drives) AS moving,
    if(h % 20000 = 0, 'sos', '') AS alarms,
    '', '', ''
FROM
(
    SELECT
        *,
        latitude_0 + 0.05 * sin(0.065 * way + device) + 0.01 * sin(0.21 * way) AS latitude,
        longitude_0 + 0.08 * cos(0.065 * way + device) + 0.016 * cos(0.19 * way) AS longitude,
        111320 * (0.00325 * cos(0.065 * way + device) + 0.0021 * cos(0.21 * way)) AS north,
        111320 * cos(radians(latitude_0)) * (-0.0052 * sin(0.065 * way + device) - 0.00304 * sin(0.19 * way)) AS east,
        sqrt(north * north + east * east) / 30 * 3.6 AS kmh,
        if(drives, 3.0, if(device % 2, 0.0, 4.0)) AS noise_m
    FROM
    (
        SELECT
            device, kind, row, h,
            row BETWEEN 31 AND 110 OR row BETWEEN 132 AND 211 OR row BETWEEN 233 AND 312 AS drives,
            {day:UInt32} * 240 + multiIf(row < 31, 0, row < 111, row - 31, row < 132, 80, row < 212, 80 + row - 132, row < 233, 160, row < 313, 160 + row - 233, 240) AS way,
            multiIf(
                row < 31, row * intDiv(first, 31),
                row < 111, first + (row - 31) * 30,
                row < 132, first + 2400 + (row - 111) * intDiv(second_drive - first - 2400, 21),
                row < 212, second_drive + (row - 132) * 30,
                row < 233, second_drive + 2400 + (row - 212) * intDiv(third - second_drive - 2400, 21),
                row < 313, third + (row - 233) * 30,
                third + 2400 + (row - 313) * intDiv(86399 - third - 2400, 20)) AS second,
            46.0 + device % 97 * 0.07 AS latitude_0,
            5.0 + device % 89 * 0.11 AS longitude_0
        FROM
        (
            SELECT
                intDiv(number, 333) AS device,
                toInt64(number % 333) AS row,
                multiIf(device % 10 < 4, 0, device % 10 < 8, 1, 2) AS kind,
                cityHash64(number, {day:UInt32}) AS h,
                cityHash64(device, {day:UInt32}) AS g,
                toInt64(21600 + g % 7200) AS first,
                toInt64(39600 + intDiv(g, 7200) % 7200) AS second_drive,
                toInt64(57600 + intDiv(g, 51840000) % 7200) AS third
            FROM numbers({first_row:UInt64}, {rows:UInt64})
        )
    )
)
