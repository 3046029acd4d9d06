"""Columns as packed bytes: the one codec between Python lists and the column records of schemas/avro.

A column of numbers is an Avro `bytes` field whose type has the property `items`, a numpy-style little-endian element
type such as `<i8`; it holds the packed array. Records marked with the property `columns` are columns too:

| columns    | Avro fields       | in Python            |
|------------|-------------------|----------------------|
| strings    | lengths, blob     | list[str]            |
| blobs      | lengths, blob     | list[bytes]          |
| dictionary | values, indexes   | list[str]            |
| table      | columns           | object or dict of columns, all of one length |

Why not Avro arrays: 5-10 times the CPU for the same bytes on the wire (measured, README "Figures").
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

TYPECODES = {"<i1": "b", "<u1": "B", "<i2": "h", "<u2": "H", "<i4": "i", "<u4": "I", "<i8": "q", "<u8": "Q", "<f8": "d"}
LIMITS = {
    **{f"<i{n}": (-(2 ** (8 * n - 1)), 2 ** (8 * n - 1) - 1) for n in (1, 2, 4, 8)},
    **{f"<u{n}": (0, 2 ** (8 * n) - 1) for n in (1, 2, 4, 8)},
}

if sys.byteorder != "little":  # pragma: no cover - no supported platform is big-endian
    raise ImportError("packed columns are little-endian; this machine is not")

Pack = Callable[[Any], Any]


def pack_numbers(typecode: str, values: list[Any]) -> bytes:
    """Pack numbers; raises OverflowError when one does not fit its type, TypeError for a non-number."""
    return array(typecode, values).tobytes()


def unpack_numbers(typecode: str, data: bytes) -> list[Any]:
    """Unpack to a list of ints or floats; raises TypeError when the length is no multiple of the element size."""
    if not data:  # also the default of a column that an older record does not have, which fastavro gives as text
        return []
    view: Any = memoryview(data)
    values: list[Any] = view.cast(typecode).tolist()
    return values


def pack_blobs(values: list[bytes]) -> dict[str, bytes]:
    return {"lengths": array("I", [len(v) for v in values]).tobytes(), "blob": b"".join(values)}


def unpack_blobs(data: dict[str, bytes]) -> list[bytes]:
    blob = data["blob"]
    ends = accumulate(unpack_numbers("I", data["lengths"]), initial=0)
    return [blob[a:b] for a, b in pairwise(ends)]


def pack_strings(values: list[str]) -> dict[str, bytes]:
    if not any(values):
        return {"lengths": bytes(4 * len(values)), "blob": b""}
    return pack_blobs([v.encode("utf-8", "surrogateescape") for v in values])


def unpack_strings(data: dict[str, bytes]) -> list[str]:
    if not data["blob"]:
        return [""] * (len(data["lengths"]) // 4)
    return [v.decode("utf-8", "replace") for v in unpack_blobs(data)]


def pack_dictionary(values: list[str]) -> dict[str, Any]:
    """Pack a column of repeating texts; raises OverflowError above 65,536 different ones (batches are smaller)."""
    index = {text: i for i, text in enumerate(dict.fromkeys(values))}
    return {"values": pack_strings(list(index)), "indexes": array("H", [index[v] for v in values]).tobytes()}


def unpack_dictionary(data: dict[str, Any]) -> list[str]:
    values = unpack_strings(data["values"])
    return [values[i] for i in unpack_numbers("H", data["indexes"])]


PACKERS: dict[str, tuple[Pack, Pack]] = {
    "strings": (pack_strings, unpack_strings),
    "blobs": (pack_blobs, unpack_blobs),
    "dictionary": (pack_dictionary, unpack_dictionary),
}


def number_codec(items: str) -> tuple[Pack, Pack]:
    """The packer and unpacker of one element type, such as `<u2`."""
    code = TYPECODES[items]
    return partial(pack_numbers, code), partial(unpack_numbers, code)
