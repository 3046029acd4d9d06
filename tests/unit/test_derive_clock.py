"""Device clocks: what is corrected, when, and what never is."""

from __future__ import annotations

from typing import Any

import pytest

from processors.derive.entries import Report
from processors.derive.state import ABSENT_I4
from schemas.records import Flag
from tests.unit.derive_helpers import DEVICE, HOUR_MS, T0, Device, position, report

MINUTE_MS = 60_000


def wrong(second: float, hours: float, *, late_s: float = 2.0, clock: str = "local", **fields: Any) -> Report:
    """A report of T0 + second whose clock is wrong by hours, arriving late_s later."""
    return report(second + hours * 3600, 0, arrives=second + late_s, clock=clock, **fields)


@pytest.mark.parametrize("clock", ["local", "unknown"])
@pytest.mark.parametrize("hours", [8, 5.75, 1, -3, -9.5, 14])
def test_three_live_reports_teach_the_zone(hours: float, clock: str) -> None:
    device = Device()
    device.feed(*[wrong(s, hours, clock=clock) for s in (0, 30, 60, 90)])
    assert device.state.clock_offset_ms == hours * HOUR_MS
    assert [r.time_ms for r in device.rows[2:]] == [T0 + 60_000, T0 + 90_000]
    for row, second in zip(device.rows[2:], (60, 90), strict=True):
        assert row.flags == Flag.CLOCK_CORRECTED
        assert row.fix_time_ms == row.time_ms
        assert row.device_time_ms == T0 + second * 1000 + hours * HOUR_MS
    for row, second in zip(device.rows[:2], (0, 30), strict=True):
        if hours > 0:  # the future is never stored: arrival stands in
            assert (row.time_ms, row.flags) == (T0 + second * 1000 + 2000, Flag.TIME_FUTURE)
        else:
            assert (row.time_ms, row.flags) == (T0 + second * 1000 + hours * HOUR_MS, 0)


def test_utc_is_never_corrected() -> None:
    device = Device()
    device.feed(*[wrong(s, -3, clock="utc") for s in (0, 30, 60, 90, 120)])
    assert device.state.clock_offset_ms == ABSENT_I4
    assert [r.time_ms for r in device.rows] == [T0 + s * 1000 - 3 * HOUR_MS for s in (0, 30, 60, 90, 120)]


@pytest.mark.parametrize("late_s", [15 * 60, 30 * 60, 45 * 60, 3600 + 180, 3 * 3600 - 130])
def test_lateness_that_is_no_zone_teaches_nothing(late_s: float) -> None:
    device = Device()
    device.feed(*[wrong(s, 0, late_s=late_s) for s in range(0, 300, 30)])
    assert device.state.clock_offset_ms in (ABSENT_I4, 0)
    assert all(r.flags == 0 for r in device.rows)


@pytest.mark.parametrize("rate_hz", [30, 3, 0.7])
def test_an_upload_of_stored_reports_teaches_nothing(rate_hz: float) -> None:
    # six hours of reports, 10 s apart, sent at one rate once the network is back: their lateness passes each hour
    device = Device()
    stored = [report(s, 0, arrives=21_600 + i / rate_hz, clock="unknown") for i, s in enumerate(range(0, 21_600, 10))]
    device.feed(*stored)
    assert device.state.clock_offset_ms in (ABSENT_I4, 0)


def test_a_receiver_that_repeats_its_last_time_teaches_nothing() -> None:
    device = Device()
    device.feed(*[report(0, 0, arrives=s, clock="unknown") for s in range(0, 3 * 3600, 20)])
    assert device.state.clock_offset_ms == ABSENT_I4


def test_reports_that_disagree_teach_nothing() -> None:
    device = Device()
    device.feed(wrong(0, 8), wrong(30, 8), wrong(60, 7), wrong(90, 8), wrong(120, 8))
    assert device.state.clock_offset_ms == ABSENT_I4
    assert device.feed(wrong(150, 8)) == []
    assert device.state.clock_offset_ms == 8 * HOUR_MS


def test_archive_reports_do_not_vote() -> None:
    device = Device()
    device.feed(*[wrong(s, -2, attributes={"archive": True}) for s in (0, 30, 60, 90)])
    assert device.state.clock_offset_ms == ABSENT_I4


def test_summer_time_is_learnt_anew() -> None:
    device = Device()
    device.feed(*[wrong(s, 1) for s in (0, 30, 60)], *[wrong(s, 2) for s in (90, 120, 150, 180)])
    assert device.state.clock_offset_ms == 2 * HOUR_MS
    assert [r.time_ms for r in device.rows[5:]] == [T0 + 150_000, T0 + 180_000]


def test_another_revision_of_the_decoder_forgets() -> None:
    device = Device()
    device.feed(*[wrong(s, -3) for s in (0, 30, 60)])
    device.feed(wrong(90, 0, revision=2))
    assert device.state.clock_offset_ms == ABSENT_I4
    assert device.rows[-1].time_ms == T0 + 90_000
    assert device.rows[-1].flags == 0


def test_a_learnt_zone_holds_for_stored_reports() -> None:
    device = Device()
    device.feed(*[wrong(s, 8) for s in (0, 30, 60)])
    device.feed(wrong(-5000, 8, late_s=5100))
    assert device.rows[-1].time_ms == T0 - 5_000_000
    assert device.rows[-1].flags == Flag.CLOCK_CORRECTED | Flag.LATE


@pytest.mark.parametrize("clock", ["utc", "local", "unknown"])
def test_the_operator_wins(clock: str) -> None:
    device = Device(clock_offset_s=-90.0)
    device.feed(*[wrong(s, 8, clock=clock) for s in (0, 30, 60)], report(100, 0, clock=clock))
    assert device.state.clock_offset_ms == ABSENT_I4
    assert device.rows[-1].time_ms == T0 + 190_000
    assert device.rows[-1].flags == Flag.CLOCK_CORRECTED
    assert device.rows[0].flags == Flag.TIME_FUTURE


@pytest.mark.parametrize(("ahead_ms", "future"), [(5 * MINUTE_MS, False), (5 * MINUTE_MS + 1, True), (10**30, True)])
def test_the_future(ahead_ms: int, future: bool) -> None:
    device = Device()
    device.feed(Report(position(0, 0, fix_time_ms=T0 + ahead_ms, device_time_ms=None), DEVICE, "h02", T0, 1, 1))
    (row,) = device.rows
    if future:
        assert row == (T0, T0, T0 + ahead_ms, Flag.TIME_FUTURE, 255)
        assert device.state.fix_time_ms == T0
    else:
        assert row == (T0 + ahead_ms, T0 + ahead_ms, None, 0, 255)


def test_which_time_is_the_reports() -> None:
    device = Device()
    device.feed(
        report(10, 0, device_time_ms=T0 + 11_000, arrives=12),
        report(20, None, arrives=22),
        report(None, None, arrives=30),
        report(40, 0, fix_time_ms=-1, arrives=42),
        report(50, 0, fix_time_ms=-1, device_time_ms=-(10**30), arrives=52),
    )
    assert [(r.time_ms - T0) / 1000 for r in device.rows] == [10, 20, 30, 40, 52]
    assert [r.fix_time_ms for r in device.rows] == [T0 + 10_000, None, None, None, None]
    assert device.rows[0].device_time_ms == T0 + 11_000
