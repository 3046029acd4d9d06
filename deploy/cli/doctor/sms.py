"""The text messages that set trackers up, by clone family.

Trackers that share a name differ by maker, so these are what is printed in most manuals of a family, with its usual
password: a device that does not answer has another password or another list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HOST, PORT, APN = "HOST", "PORT", "APN"
PURPOSES = {
    "begin": "make it ready (deletes settings)",
    "apn": "access point of the SIM card",
    "server": "where to report",
    "data": "report over mobile data",
    "interval": "how often to report, in seconds",
    "clock": "clock in UTC",
    "status": "ask what it is set to",
}
"""What a message is for, in the order in which a new device needs them."""


@dataclass(frozen=True, slots=True)
class Family:
    """Messages of a family by purpose; {host}, {port}, {apn} and {named} (0 when
    the host is an address in numbers, else 1) are filled in. sold_as: how owners recognise it."""

    sold_as: str
    messages: dict[str, str]
    note: str = ""


_COBAN = {
    "begin": "begin123456",
    "apn": "apn123456 {apn}",
    "server": "adminip123456 {host} {port}",
    "data": "gprs123456",
    "interval": "fix030s***n123456",
    "clock": "time zone123456 0",
    "status": "check123456",
}

FAMILIES: dict[str, Family] = {
    "gps103": Family("TK103, TK303, GPS103 of Coban and its copies", _COBAN),
    "tk103": Family(
        "TK103 whose frames stand in parentheses", _COBAN, "some take *setip*1*2*3*4*port* for the address 1.2.3.4"
    ),
    "xexun": Family(
        "TK102, TK103 of Xexun and its copies", {name: text for name, text in _COBAN.items() if name != "data"}
    ),
    "h02": Family(
        "SinoTrack ST-901 to ST-907 and the like",
        {
            "apn": "8030000 {apn}",
            "server": "8040000 {host} {port}",
            "data": "7100000",
            "interval": "8050000 30",
            "clock": "8960000E00",
            "status": "RCONF",
        },
        "the last four digits before the blank are the password; other makes of this protocol take adminip123456 HOST PORT",
    ),
    "gt06": Family(
        "Concox, Jimi, GT06, GT02, TR06, ET25 and copies",
        {
            "apn": "APN,{apn}#",
            "server": "SERVER,{named},{host},{port},0#",
            "data": "GPRSON,1#",
            "interval": "TIMER,30,300#",
            "clock": "GMT,E,0,0#",
            "status": "PARAM#",
        },
        "0 behind SERVER: an address in numbers, 1: a name; STATUS# tells battery, signal and whether it sees satellites",
    ),
    "watch": Family(
        "watches and pendants with the SeTracker app, Q50, Q90, A9 …",
        {
            "apn": "pw,123456,apn,{apn},,,MCCMNC#",
            "server": "pw,123456,ip,{host},{port}#",
            "interval": "pw,123456,upload,60#",
            "clock": "pw,123456,lz,0,0#",
            "status": "pw,123456,ts#",
        },
        "the password may be 523681 instead of 123456; MCCMNC: of the network, 26201 say",
    ),
    "meiligao": Family(
        "Meiligao VT300, VT310, GT30, TK103 of that maker",
        {
            "apn": "W000000,011,{apn},,",
            "server": "W000000,012,{host},{port}",
            "data": "W000000,013,1",
            "interval": "W000000,014,00003",
            "clock": "W000000,032,0",
            "status": "W000000,000",
        },
        "the interval is in units of 10 s; the address must be in numbers",
    ),
    "jt808": Family(
        "JT/T 808 devices: each maker has messages of its own",
        {"apn": "APN,{apn}#", "server": "SERVER,{named},{host},{port},0#", "status": "PARAM#"},
        "as BSJ and Jimi take them; MiCODUS: apn123456 NAME and adminip123456 HOST PORT; else see its manual",
    ),
}


def messages(protocol: str, purposes: tuple[str, ...], host: str, port: str, apn: str) -> list[tuple[str, str]]:
    """(purpose, text) of what is to be sent to a device of this protocol; empty where its family is not known."""
    family = FAMILIES.get(protocol)
    if family is None:
        return []
    values = {"host": host, "port": port, "apn": apn, "named": int(not re.fullmatch(r"[0-9.]+|.*:.*", host))}
    return [(PURPOSES[name], family.messages[name].format(**values)) for name in purposes if name in family.messages]
