"""The decoders, by protocol name: the twins of gateway/protocols/registry.py (a protocol is one line here)."""

from __future__ import annotations

from processors.decoders import gps103, gt06, h02, jt808, meiligao, tk103, watch, xexun
from processors.decoders.base import DecoderModule

MODULES: tuple[DecoderModule, ...] = (tk103, h02, watch, gps103, jt808, gt06, meiligao, xexun)
DECODERS: dict[str, DecoderModule] = {module.NAME: module for module in MODULES}
