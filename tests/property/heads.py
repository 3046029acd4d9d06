"""One frame of our own for each row of the detection table that no decoder serves yet, and near misses of it.

Layouts: the documents of the protocols. Checksums are computed here bit by bit, so that they
check the tables of the code.
"""

from __future__ import annotations

from typing import NamedTuple

ID = b"354188012345678"
PACKED_ID = bytes.fromhex("0354188012345678")
NUMBER_ID = int(ID).to_bytes(8, "big")


def crc_16(data: bytes, polynomial: int, start: int, reflected: bool = False) -> int:
    """CRC of 16 bits, bit by bit; polynomial in its usual form, whatever the direction."""
    value = int(f"{start:016b}"[::-1], 2) if reflected else start
    for byte in data:
        value ^= (int(f"{byte:08b}"[::-1], 2) if reflected else byte) << 8
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value & 0x8000 else 0)) & 0xFFFF
    return int(f"{value:016b}"[::-1], 2) if reflected else value


def crc_8(data: bytes) -> int:
    value = 0xFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ (0x31 if value & 0x80 else 0)) & 0xFF
    return value


def xor_8(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte
    return value


def crc_arc(data: bytes) -> int:
    return crc_16(data, 0x8005, 0, reflected=True)


def crc_modbus(data: bytes) -> int:
    return crc_16(data, 0x8005, 0xFFFF, reflected=True)


def crc_x25(data: bytes) -> int:
    return crc_16(data, 0x1021, 0xFFFF, reflected=True) ^ 0xFFFF


def teltonika() -> bytes:
    record = bytes.fromhex("0000019bc0e5a000 00 ffcf9d80 1eb7e2c0 0010 002d 09 0024 00 00 00 00 00 00".replace(" ", ""))
    body = b"\x08\x01" + record + b"\x01"
    return bytes(4) + len(body).to_bytes(4, "big") + body + crc_arc(body).to_bytes(4, "big")


def ruptela(command: bytes = b"\x10") -> bytes:
    body = NUMBER_ID + command
    return len(body).to_bytes(2, "big") + body + crc_16(body, 0x1021, 0, reflected=True).to_bytes(2, "big")


def castel(mark: bytes = b"@@\x04") -> bytes:
    inner = mark[2:] + ID.ljust(20, b"\x00") + b"\x10\x03"
    frame = mark[:2] + (len(inner) + 8).to_bytes(2, "little") + inner
    return frame + crc_x25(frame).to_bytes(2, "little") + b"\r\n"


def egts() -> bytes:
    body = b"\x05\x00\x01\x00\x00\x01\x01" + bytes(5)
    head = b"\x01\x00\x00\x0b\x00" + len(body).to_bytes(2, "little") + b"\x07\x00\x01"
    return head + bytes((crc_8(head),)) + body + crc_16(body, 0x1021, 0xFFFF).to_bytes(2, "little")


def galileo(header: bytes = b"\x01") -> bytes:
    payload = b"\x01\x82\x02\x13\x03" + ID + b"\x04\x32\x00"
    frame = header + len(payload).to_bytes(2, "little") + payload
    return frame + crc_modbus(frame).to_bytes(2, "little")


def minifinder2() -> bytes:
    body = b"\x01\x10\x01" + ID + b"\x02\x10\x32"
    return (
        b"\xab\x10"
        + len(body).to_bytes(2, "little")
        + crc_16(body, 0x1021, 0).to_bytes(2, "little")
        + b"\x07\x00"
        + body
    )


def khd() -> bytes:
    frame = b"))\xb1\x00\x06\x0c\xa2\xb8\x4e"
    return frame + bytes((xor_8(frame),)) + b"\r"


def navis() -> bytes:
    body = b"*>S:" + ID
    head = b"@NTC" + b"\x01\x00\x00\x00\x00\x00\x00\x00" + len(body).to_bytes(2, "little") + bytes((xor_8(body),))
    return head + bytes((xor_8(head),)) + body


def atrack() -> bytes:
    body = b"\x00\x0a\x00\x07" + NUMBER_ID + bytes(4)
    body = (len(body) - 2).to_bytes(2, "big") + body[2:]
    return b"@P" + crc_arc(body).to_bytes(2, "big") + body


def atrack_text() -> bytes:
    content = b",7," + ID + b",1768471872,1768471872,1768471873,-1250,51504166,45,2,7,10\r\n"
    return b"@P,93D1,%d" % len(content) + content


def tzone() -> bytes:
    body = b"$$\x04\x13\x01\x02\x03\x04" + PACKED_ID + b"\x1a\x01\x0f\x0a\x0b\x0c" + bytes(6) + b"\x00\x07"
    return b"TZ" + (len(body) + 2).to_bytes(2, "big") + body + crc_modbus(body).to_bytes(2, "big") + b"\r\n"


def cellocator() -> bytes:
    frame = b"MCGP\x09" + b"\x12\x34\x00\x00" + b"\x00\x00\x01\x00" + b"\x04" + b"abcd"
    return frame + bytes((sum(frame[4:]) & 0xFF,))


def queclink() -> bytes:
    frame = b"+\x00\x00\x1c\x00" + PACKED_ID + bytes(13)
    return frame + bytes((crc_8(frame),)) + b"$"


def topin_login() -> bytes:
    return b"xx\x0d\x01" + PACKED_ID + b"\x4d\r\n"


def gosafe_binary() -> bytes:
    body = b"\x06\x01" + PACKED_ID + b"\x1b\x01"
    body += crc_16(body, 0x1021, 0).to_bytes(2, "big")
    return b"\xf8" + body.replace(b"\x1b", b"\x1b\x00").replace(b"\xf8", b"\x1b\xe3") + b"\xf8"


def jt600() -> bytes:
    record = bytes.fromhex("150126101112 51302500 0000076501 1f 00 10 08".replace(" ", "")).ljust(27, b"\x01")
    return b"$\x88\x00\x12\x34\x56\x11" + len(record).to_bytes(2, "big") + record + b"\x01"


def meitrack() -> bytes:
    content = b"," + ID + b",AAA,35,51.504166,-0.001250,260115101112,A,9,20,36,45,1.0,31,10,7*"
    frame = b"$$A" + b"%d" % (len(content) + 4) + content
    return frame + b"%02X\r\n" % (sum(frame) & 0xFF)


def startek() -> bytes:
    content = b"," + ID + b",000,1,,260115101112,A,51.504166,-0.001250,9,1.0,36,45"
    frame = b"&&A" + b"%d" % len(content) + content
    return frame + b"%02X\r\n" % (sum(frame) & 0xFF)


def sentence(body: bytes) -> bytes:
    return b"$" + body + b"*%02X\r\n" % xor_8(body)


def starlink() -> bytes:
    body = b"SLU0330D5,06,1,260115101112,04,260115101112,+5130.2500,-00007.6500,019.7,045"
    return b"$" + body + b"*%02X\r\n" % (sum(body) & 0xFF)


class Golden(NamedTuple):
    """A frame of one row. after: how many bytes decide (0: all, the frame or silence). silent: only silence ends it.

    near: beginnings that must be NO, not the protocol's.
    """

    number: float
    protocol: str
    frame: bytes
    after: int = 0
    silent: bool = False
    near: tuple[bytes, ...] = ()
    transport: str = "tcp"


RMC = b"GPRMC,101112.000,A,5130.2500,N,00007.6500,W,19.71,45.50,150126,,,A"
V680 = b"#" + ID + b"##1#0000#AUT#01#234100102a47#00007.6500,W,5130.2500,N,0.28,0.00#150126#101112.000##"
TLT2H = b"#" + ID + b"#MT500#0000#AUTO#1\r\n#23410010" + sentence(RMC) + b"##"
IRIDIUM = b"\x01\x00\x20\x01\x00\x1c" + b"\x68\xb2\xcb\x17" + ID + bytes(10)
DATAGRAM = b"\x00\x1f\xca\xfe\x01\x05\x00\x0f" + ID + b"\x08\x01" + bytes(7) + b"\x01"
TOTEM = b"$$0045AA" + ID + b"|10001000260115101112"
CALAMP = b"\x83\x08" + bytes.fromhex("354188012345678f") + b"\x01\x02\x01\x00\x00\x07"
ARNAVI = b"\xff\x22" + int(ID).to_bytes(8, "little")
HUASHENG = b"\xc0\x00\x00\x00\x0e\xaa\x02\x00\x00\x00\x00\x00\x01\x00\x01\x00"
ZIP = b"\x02\x00\x18\x11\x12\x34\x56\x78\x90" + bytes(18) + b"\x03"

GOLDEN: tuple[Golden, ...] = (
    Golden(1, "teltonika", DATAGRAM, transport="udp", near=(DATAGRAM[:-1], DATAGRAM.replace(b"\x01\x05", b"\x02\x05"))),
    Golden(2, "teltonika", b"\x00\x0f" + ID, 17, near=(b"\x00\x0f35418801234567x", b"\x00\x09354188012")),
    Golden(3, "teltonika", teltonika(), 9, near=(bytes(7) + b"\x02\x08", bytes(4) + b"\x00\x00\x00\x20\x09")),
    Golden(4, "ruptela", ruptela(), near=(ruptela()[:-1] + b"\x00", ruptela(b"\x45"), b"\x00\x08" + ruptela()[2:])),
    Golden(
        5,
        "tt8850",
        b"\x00\x04,007F,0,GTFRI,020102," + ID + b",x,0,0734$",
        8,
        near=(b"\x00\x06,007F,", b"\x00\x04,00-F,"),
    ),
    Golden(
        6,
        "http",
        b"GET /?id=1&lat=51.5&lon=-0.1 HTTP/1.1\r\nHost: x\r\n\r\n",
        5,
        near=(b"GET x", b"OPTIONS sip:", b"get /"),
    ),
    Golden(
        6,
        "http",
        b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nid=12\r\n0\r\nX: y\r\n\r\n",
        6,
    ),
    Golden(10.1, "megastek", b"0052$MGV002," + ID + b",,R,150126,101112,V,,,,,00,;!", 8, near=(b"005$MGV002,",)),
    Golden(10.2, "t55", ID + b"," + sentence(RMC), 23, near=(ID + b",$GXRMC,", b"35418$GPRMC,")),
    Golden(
        12,
        "jt600",
        b"(3110312099,W01,00007.6500,W,5130.2500,N,A,150126,101112,3,80,20,7,90,1)",
        15,
        near=(b"(3110312099,X01,", b"(3110312099,1,2,3,W01,"),
    ),
    Golden(14, "easytrack", b"*ET," + ID + b",MQ#", 22, near=(b"*ET,3541880123,MQ#", b"*ET," + ID + b",m")),
    Golden(15, "gosafe", b"*GS16," + ID + b"#", 21, near=(b"*GSx6," + ID, b"*GS16,35418801234567,")),
    Golden(16, "ulbotech", b"*TS01," + ID + b",101112150126,STT:242;0#", 21, near=(b"*TS1," + ID,)),
    Golden(
        17,
        "upro",
        b"*HQ201862406278000161,AB1&A1103312243149711422697470000040724#",
        7,
        silent=True,
        near=(b"*HQ212", b"*H1201"),
    ),
    Golden(19, "meitrack", meitrack(), 26, near=(b"$$A120," + ID + b",260115101112,", b"$$1120," + ID + b",AAA,")),
    Golden(20, "totem", TOTEM.ljust(45, b"7"), 24, near=(b"$$0045AA" + ID + b",", b"$$AG354188012345678|")),
    Golden(20, "totem", b"$$28" + ID + b"|AA" + bytes(17).replace(b"\x00", b"1") + b"\r\n", 20),
    Golden(
        21,
        "xirgo",
        b"$$" + ID + b",4001,2026/01/15,10:11:12,51.504166,-0.00125,31,22,45,9,1.0##",
        23,
        near=(b"$$1234,4001,", b"$$" + ID + b",401,"),
    ),
    Golden(23, "castel", castel(), near=(castel()[:-3] + b"\x00\r\n", castel().replace(b"354", b"\x01\x02\x03"))),
    Golden(23, "castel", castel(b"$$")),
    Golden(
        25,
        "laipac",
        sentence(b"AVRMC,80006405,101112,r,5130.2500,N,00007.6500,W,19.71,45.50,150126,0,3.727,17,1,0,0"),
        7,
        near=(b"$AVRM,",),
    ),
    Golden(
        26,
        "arnavi",
        b"$AV,V2,32768,12487,2277,203,-1,0,0,193,0,0,1,13,101112,5130.2500N,00007.6500W,36.5,45.5,150126,*6E\r\n",
        4,
        near=(b"$AX,",),
    ),
    Golden(27, "megastek", b"$MGV002," + ID + b",,R,150126,101112,V,,,,,00,;!", 8, near=(b"$MGVx02,",)),
    Golden(27, "megastek", b"STX," + ID + b"," + sentence(RMC), 4, near=(b"STY,",)),
    Golden(27, "megastek", b"STX2010101801      \x02j" + sentence(RMC), 27),
    Golden(28, "starlink", starlink(), 10, near=(b"$SLU0330G5",)),
    Golden(
        29,
        "globalsat",
        b"$" + ID + b",1,1,150126,101112,W00007.6500,N5130.2500,31,19.71,45,9,1.0!",
        19,
        near=(b"$" + ID + b",x",),
    ),
    Golden(
        29,
        "globalsat",
        b"GSr," + ID + b",3,3,00,,2,150126,101112,W00007.6500,N5130.2500,31,19,45,9,1.0*00!",
        4,
        near=(b"GSx,",),
    ),
    Golden(30, "t55", sentence(RMC), 18, near=(b"$GPRMC,1234567890,", b"$GXRMC,")),
    Golden(30, "t55", b"$PGID,359853000144328*0F\r\n", 6, near=(b"$PGIX,",)),
    Golden(30, "t55", b"IMEI 351467108700000\r\n", 20, near=(b"IMEI-351467108700000",)),
    Golden(
        31,
        "pt502",
        b"$POS,6094,101112.000,A,5130.2500,N,00007.6500,W,19.71,45.50,150126,,,A/00000,00/0,0/7/\r\n",
        23,
        near=(b"$POS,6094,101112.000,B,", b"$POS,6094,10111.000,A,"),
    ),
    Golden(31, "pt502", b"$FUS865328026243864,510-V1.12,A11-V3.0\r\n", 6),
    Golden(32, "jt600", jt600(), 16, near=(b"$\x88\x00\x12\x34\x56\x11\x00\x1c" + jt600()[9:],)),
    Golden(
        34.5, "topin", topin_login(), 15, near=(topin_login()[:13] + b"\x0d\x0b", b"xx\x05\x12\x00\x07\x00\x00\r\n")
    ),
    Golden(
        36,
        "gt02",
        b"hh\x0f\x00\x00" + PACKED_ID + b"\x00\x07\x1a\x00\x00\r\n",
        16,
        near=(b"hh\x0f\x00\x00" + PACKED_ID + b"\x00\x07\x1b",),
    ),
    Golden(39, "tk102", b"[\x210000000001\x05(abc)]", near=(b"[\x210000000001\x05(abc)x", b"[\x21000000000x")),
    Golden(
        40,
        "gl200",
        b"+RESP:GTFRI,1A0102,"
        + ID
        + b",,0,0,1,1,36.5,45,31.0,-0.001250,51.504166,20260115101112,0234,0010,0187,7F86,,20260115101113,04D2$",
        8,
        near=(b"+RESP:GX", b"+ACK:HBD,"),
    ),
    Golden(
        41,
        "gl200",
        b"+RSP\x07\x00\xfe\x0f\xff\x00\x1e" + bytes(17) + b"\r\n",
        11,
        near=(b"+RSP\x07\x00\xfe\x0f\xff\x20\x1e", b"+RSQ"),
    ),
    Golden(41, "gl200", queclink(), near=(queclink()[:-2] + b"\x00$",)),
    Golden(42, "wialon", b"#SD#150126;101112;5130.2500;N;00007.6500;W;36;45;31;9\r\n", 4, near=(b"#SX#", b"#@")),
    Golden(
        43,
        "wialon",
        b"2.0;" + ID + b"#SD#150126;101112;5130.2500;N;00007.6500;W;36;45;31;9",
        transport="udp",
        near=(ID + b"#XD#",),
    ),
    Golden(44, "v680", V680, near=(b"#" + ID[:13] + b"##1#0000#AUT#01#",)),
    Golden(44.1, "tlt2h", TLT2H, TLT2H.index(b"GPRMC,") + 6),
    Golden(
        45,
        "suntech",
        b"ST300STT;511050566;45;315;20260115;10:11:12;1041;+51.504166;-000.001250;036.500;045.50;9;1\r",
        9,
        silent=True,
        near=(b"ST30STT;", b"SX300STT;"),
    ),
    Golden(
        45,
        "suntech",
        b"ALT;0840037569;FFFFFF;84;1.0.6;0;20260115;10:11:12\r",
        5,
        silent=True,
        near=(b"ALT;x", b"ALX;0"),
    ),
    Golden(46, "eelink", b"gg\x01\x00\x0b\x00\x03" + PACKED_ID + b"\x00", 4, near=(b"gg\x09\x00", b"gg\x01\x06")),
    Golden(
        46.1,
        "eelink",
        b"EL\x00\x13\x12\x34" + PACKED_ID + b"gg\x03\x00\x04\x00\x07\x00\x01",
        transport="udp",
        near=(b"EL\x00\x13\x12\x34" + PACKED_ID + b"gx",),
    ),
    Golden(47, "minifinder", b"!1," + ID + b";", 3, near=(b"!2,", b"!A;")),
    Golden(48, "trv", b"TRVAP00" + ID + b"#", 7, near=(b"TRVAX00", b"TRVap")),
    Golden(49, "taip", b">RPV36672+5150416-0000125004536 12;ID=1234;*7F<", 5, near=(b">QPV3", b">RPV;")),
    Golden(50, "startek", startek(), 22, near=(b"&&A12345," + ID + b",", b"&&A123,35418801234567,")),
    Golden(51, "tzone", tzone(), 6, near=(b"TZ\x06\x00$$", b"TZ\x00\x20$x")),
    Golden(52, "cellocator", cellocator(), 5, near=(b"MCGP\x05",)),
    Golden(53, "navis", navis(), 16, near=(navis()[:15] + bytes((navis()[15] ^ 1,)),)),
    Golden(54, "atrack", atrack_text(), 11, near=(b"@X,93D1,",)),
    Golden(54, "atrack", atrack(), near=(atrack()[:-1] + b"\x01",)),
    Golden(
        54, "atrack", b"\xfe\x02" + NUMBER_ID + b"\x00\x07", 12, near=(b"\xfe\x02\x01" + NUMBER_ID[1:] + b"\x00\x07",)
    ),
    Golden(
        55,
        "minifinder2",
        minifinder2(),
        near=(
            minifinder2()[:8] + b"\x06" + minifinder2()[9:],
            minifinder2()[:4] + b"\x00\x00\x07\x00\x01\x20" + minifinder2()[10:],
        ),
    ),
    Golden(56, "arnavi", ARNAVI, 10, near=(b"\xff\x26" + ARNAVI[2:], ARNAVI[:9] + b"\x01")),
    Golden(57, "gosafe", gosafe_binary(), 3, near=(b"\xf8\x06\x02",)),
    Golden(57.1, "ulbotech", b"\xf8\x01\x01" + PACKED_ID + b"\x27\x00\x00\x00\x12\x34\xf8", 4, near=(b"\xf8\x01\x02",)),
    Golden(
        58,
        "huasheng",
        HUASHENG[:4] + b"\x0e" + HUASHENG[5:] + b"\xc0",
        9,
        near=(HUASHENG[:4] + b"\x0b" + HUASHENG[5:], b"\xc0\x02"),
    ),
    Golden(59, "pt502", b"\xbf\xfb\x01\x10\x00$POS,6094,1", 6, near=(b"\xbf\xfb\x01\x10\x00#",)),
    Golden(60, "khd", khd(), near=(khd()[:2] + b"\x90" + khd()[3:], khd()[:4] + b"\x05" + khd()[5:])),
    Golden(61, "egts", egts(), 11, near=(egts()[:10] + bytes((egts()[10] ^ 1,)),)),
    Golden(62, "galileo", galileo(), near=(galileo()[:-1] + bytes((galileo()[-1] ^ 1,)), b"\x01\x17\x00\x05")),
    Golden(62, "galileo", IRIDIUM, 6),
    Golden(63, "suntech", ZIP, near=(ZIP[:-1] + b"\x04", b"\x02\x00\x18\x17")),
    Golden(63, "suntech", b"\x81\x00\x20\x05\x20\x00\x13\x38" + bytes(27), near=(b"\x81\x00\x20\x0a" + bytes(40),)),
    Golden(
        64,
        "calamp",
        CALAMP,
        transport="udp",
        near=(CALAMP[:-1], b"\x82" + CALAMP[1:], CALAMP.replace(b"\x01\x02\x01", b"\x01\x08\x01")),
    ),
    Golden(
        65,
        "xexun2",
        b"\xfa\xaf\x00\x14\x00\x02" + PACKED_ID + b"\x00\x02\x12\x34\x01\x00\xfa\xaf",
        2,
        near=(b"\xfa\xae",),
    ),
)
REFUSED: tuple[Golden, ...] = (
    Golden(7, "tls", b"\x16\x03\x01\x00\x67\x01\x00\x00\x31\x03\x03" + bytes(96), 3, near=(b"\x16\x03\x05",)),
    Golden(7, "tls", b"\x80\x2e\x01\x03\x01\x00\x15" + bytes(41), 4, near=(b"\x80\x2e\x01\x04",)),
    Golden(7, "http2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 5, near=(b"PRI /",)),
    Golden(7, "mqtt", b"\x10\x1b\x00\x04MQTT\x04\x00\x00\x00\x00\x0f" + ID, 6, near=(b"\x10\x1b\x00\x04MR",)),
)
SCANNERS: tuple[bytes, ...] = (
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00",  # RDP
    bytes.fromhex("000000a4ff534d4272000000000801400000000000000000000000000000400600000100"),  # SMB 1
    bytes.fromhex("00000068fe534d4240000000000000000000000000000000"),  # SMB 2
    b"OPTIONS sip:nm SIP/2.0\r\nVia: SIP/2.0/TCP nm;branch=foo\r\n\r\n",
    b"*1\r\n$4\r\nPING\r\n",  # Redis
    b"INFO\r\n",
    bytes.fromhex("001e0006010000010000000000000776657273696f6e0462696e640000100003"),  # DNS
    b"\x05\x01\x00",  # SOCKS 5
    b"\x04\x01\x00\x50\x01\x02\x03\x04\x00",  # SOCKS 4
    b"HELP\r\n",
    b"EHLO x\r\n",
    b"USER anonymous\r\n",
    b"stats\r\n",  # memcached
    b"\x00\x00\x00\x0aLASTSTAT\x00\x00",
    b"JRMI\x00\x02K",  # Java RMI
    bytes.fromhex("300c020101600702010304008000"),  # LDAP
    bytes.fromhex("3a00000001000000000000 00d40700000000000061646d696e2e24636d6400".replace(" ", "")),  # MongoDB
    bytes.fromhex("0000001000000000"),
    b"\x12\x01\x00\x34\x00\x00\x00\x00\x00\x00\x15\x00\x06\x01\x00\x1b",  # MSSQL
    b"CONNECT example.org:443 HTTP/1.1\r\n\r\n",
    b"\r\n\r\n",
    b"l\x00\x0b\x00\x00\x00\x00\x00\x00\x00\x00\x00",  # X11
)
