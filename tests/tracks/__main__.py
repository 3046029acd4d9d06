"""`make tracks`: the table of stops found, missed and invented on made tracks, and the stops of recorded ones."""

from __future__ import annotations

import sys

from tests.tracks.judge import Verdict, judge
from tests.tracks.model import Receiver, drive_and_rest, reports
from tests.tracks.recorded import compare_recorded

HOURS = 30.0
SEEDS = 6
INTERVALS_S = (5, 10, 30, 60, 120, 300)
MISSES_SHOWN = 40


def receivers() -> list[Receiver]:
    """Every interval with speeds told, in knots and untold; noisy ones; ones that sleep while parked."""
    found = [Receiver(f"{s} s, speed {v}", s, speed=v) for s in INTERVALS_S for v in ("told", "knots", "none")]
    found += [Receiver(f"{s} s, noise 15 m", s, noise_m=15.0, wander_m=20.0) for s in (10, 30, 60)]
    found += [Receiver(f"{s} s, noise 10 m, no speed", s, noise_m=10.0, speed="none") for s in (10, 30, 60)]
    for interval_s in (5, 10, 30):
        for speed in ("told", "none"):
            name = f"{interval_s} s, white 10 m, {speed}"
            found.append(Receiver(name, interval_s, noise_m=10.0, wander_m=10.0, wander_s=0.5, speed=speed))
    found += [Receiver("30 s, parked 15 min", 30, 900), Receiver("10 s, parked 1 h, no speed", 10, 3600, speed="none")]
    return found


def judged(receiver: Receiver, seeds: range, hours: float) -> Verdict:
    """One receiver on several tracks."""
    verdict = Verdict()
    for seed in seeds:
        truth = drive_and_rest(seed, hours)
        verdict.add(judge(truth, reports(truth, receiver, seed), receiver, f"{receiver.name}, seed {seed}"))
    return verdict


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def main() -> int:
    print("begins, departures: errors in intervals, p50/p95; distance: error of trips over 1 km, p50/p95 of its size\n")
    heads = (("stops", 6), ("found", 7), ("invented stops", 16), ("trips", 7), ("begins", 12), ("departures", 13))
    print(f"{'receiver':<28}" + "".join(f"{head:>{width}}" for head, width in (*heads, ("distance", 16))))
    total = Verdict()
    for receiver in receivers():
        verdict = judged(receiver, range(SEEDS), HOURS)
        total.add(verdict)
        sizes = [abs(error) for error in verdict.distance_errors]
        print(
            f"{receiver.name:<28}{verdict.stops:>6}{verdict.found:>7}{verdict.invented_stops:>16}{verdict.invented_trips:>7}"
            f"{percentile(verdict.begin_errors, 0.5):>7.2f}/{percentile(verdict.begin_errors, 0.95):<4.2f}"
            f"{percentile(verdict.departure_errors, 0.5):>8.2f}/{percentile(verdict.departure_errors, 0.95):<4.2f}"
            f"{percentile(sizes, 0.5) * 100:>9.1f}/{percentile(sizes, 0.95) * 100:.1f} %"
        )
    share = total.found / total.stops
    invented = f"{total.invented_stops} stops and {total.invented_trips} trips invented"
    print(f"\n{total.found} of {total.stops} stops found within one interval ({share:.2%}), {invented}")
    for miss in total.misses[:MISSES_SHOWN]:
        print("  " + miss)
    if len(total.misses) > MISSES_SHOWN:
        print(f"  and {len(total.misses) - MISSES_SHOWN} more")
    compare_recorded()
    return 0


if __name__ == "__main__":
    sys.exit(main())
