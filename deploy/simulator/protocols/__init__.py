"""The protocols that can be simulated: one module each, and one line here."""

from __future__ import annotations

from deploy.simulator.protocols.base import Encoder
from deploy.simulator.protocols.h02 import H02
from deploy.simulator.protocols.jt808 import Jt808
from deploy.simulator.protocols.tk103 import Tk103

ENCODERS: tuple[type[Encoder], ...] = (
    Tk103,
    H02,
    Jt808,
)

BY_NAME = {encoder.NAME: encoder for encoder in ENCODERS}
