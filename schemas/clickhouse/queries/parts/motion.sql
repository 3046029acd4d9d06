-- motion: the kind of a leg (the way from one fix to the next, told at its end): 1 moving, 0 still, 2 gap.
--   gap     longer than gap_s, and the place is another one (farther than trip_m): nobody knows what happened
--   moving  the mean speed reaches moving_kmh over more than noise_m, or the speed told at the end reaches it and the mean is at least a fifth of it
--           (a parked device that reports every ten minutes and has just driven off did not move for ten minutes)
(duration, way, told) -> multiIf(
    duration > {gap_s:Float64}, if(way > {trip_m:Float64}, 2, 0),
    told >= {moving_kmh:Float64} AND way * 18 >= {moving_kmh:Float64} * duration, 1,
    way > {noise_m:Float64} AND way * 3.6 >= {moving_kmh:Float64} * duration, 1,
    0) AS motion
