"""States packed and unpacked: equal to the last bit, whatever a device made of them."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from processors.derive.state import ABSENT_I4, ABSENT_I8, RECENT_ENTRIES, RECENT_ENTRY, DeviceState
from processors.states import StateStore, packed, unpacked
from tests.unit.derive_helpers import T0

entries = st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(-(2**63), 2**63 - 1)), max_size=RECENT_ENTRIES)


@given(entries, st.floats(allow_nan=False), st.integers(-(2**31), ABSENT_I4), st.text(), st.binary(max_size=96))
def test_a_packed_state_comes_back(
    recent: list[tuple[int, int]], number: float, place: int, text: str, fuel: bytes
) -> None:
    state = DeviceState("d" + text, text, latitude_e7=place, distance_m=number, fuel=fuel, driver_id=text)
    state.recent = b"".join(RECENT_ENTRY.pack(key, time_ms) for key, time_ms in recent)
    assert unpacked(packed(state)) == state


def test_an_id_that_is_no_text_comes_back() -> None:
    state = DeviceState("\udcff\udc80", seen_ms=ABSENT_I8)
    assert unpacked(packed(state)) == state


def usual(number: int) -> DeviceState:
    """A state with all its recent reports, one each 30 s."""
    noise = Random(number)
    state = DeviceState(
        f"{356938035000000 + number}", "gt06", 900, T0, T0, noise.randrange(10**9), noise.randrange(10**9)
    )
    keys = [noise.randrange(2**32) for _ in range(RECENT_ENTRIES)]
    state.recent = b"".join(RECENT_ENTRY.pack(key, T0 + 30_000 * n) for n, key in enumerate(keys))
    return state


def test_packing_halves_the_columns_of_a_usual_state() -> None:
    assert len(packed(usual(1))) < 600


def test_the_store_is_a_mapping_whatever_is_packed() -> None:
    store, plain, noise = StateStore(unpacked=5), {}, Random(3)
    for _ in range(2000):
        state = usual(noise.randrange(40))
        state.reports = noise.randrange(1000)
        if noise.random() < 0.2:
            assert store.pop(state.device_id, None) == plain.pop(state.device_id, None)
        else:
            store[state.device_id] = plain[state.device_id] = state
        if noise.random() < 0.05:
            assert store == plain
            assert len(store) == len(plain)
            assert all((f"{356938035000000 + n}" in store) == (f"{356938035000000 + n}" in plain) for n in range(40))
    assert store.get("nobody") is None
    store.clear()
    assert store == {}
