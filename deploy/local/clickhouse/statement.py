"""The little of SQL that an HTTP endpoint has to know before it hands a statement to the engine.

The engine parses SQL; this module only finds where the data of an insert starts, which output format is asked for, and
that there is a single statement. It reads tokens, so text inside strings, quoted names and comments never misleads it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .errors import INTO_OUTFILE_NOT_ALLOWED, SYNTAX_ERROR, refusal

_TOKEN = re.compile(
    rb"""(?P<space>(?:[\s\0]+|--[^\n]*|\#[ !][^\n]*|/\*.*?\*/)+)
    |(?P<text>'(?:[^'\\]|\\.|'')*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    |(?P<name>`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*"|\{[^{}]*:[^{}]*\})
    |(?P<word>[A-Za-z_][A-Za-z0-9_$]*)
    |(?P<other>.)""",
    re.DOTALL | re.VERBOSE,
)
# ClickHouse's rule for what separates FORMAT X from the data: blanks, then at most one line end.
_BEFORE_DATA = re.compile(rb"[ \t\f]*\r?\n?")

_ROWS = frozenset({"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS", "CHECK", "KILL", "FROM", "("})
# They change the connection and not only the data, so it must not serve another request.
_STICKY = frozenset({"SET", "USE", "BEGIN", "COMMIT", "ROLLBACK"})
_BEFORE_TABLE = frozenset({b"INSERT", b"INTO", b"TABLE", b"FUNCTION", b"."})
_DATA_FROM_ELSEWHERE = frozenset({"SELECT", "WITH", "FROM", "WATCH"})


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: bytes
    start: int
    end: int
    depth: int

    @property
    def keyword(self) -> str:
        """The word in capitals, or "" where it cannot be a keyword: inside brackets, quoted, not a word."""
        return self.text.decode().upper() if self.kind == "word" and self.depth == 0 else ""


@dataclass(frozen=True, slots=True)
class Insert:
    """An insert that carries its rows: the statement without FORMAT, the format, and what follows in the same bytes."""

    statement: bytes
    format: str
    rest: bytes


@dataclass(frozen=True, slots=True)
class Statement:
    """Anything else. `format` is the one written in the statement, if any."""

    sql: bytes
    first: str
    format: str | None
    sticky: bool

    @property
    def returns_rows(self) -> bool:
        return self.first in _ROWS

    @property
    def can_stream(self) -> bool:
        return self.first in ("SELECT", "WITH")


def split_insert(head: bytes) -> Insert | None:
    """The insert that `head` begins with, or None when it is another statement or takes its rows from a query."""
    tokens = _significant(head)
    if next(tokens, _END).keyword != "INSERT" or not _skip_target(tokens):
        return None
    after_dot = False
    for token in tokens:
        keyword = "" if after_dot else token.keyword
        if keyword == "VALUES":
            return Insert(head[: token.start].rstrip(), "Values", head[token.end :])
        if keyword == "FORMAT":
            return _insert_with_format(head, token, next(tokens, _END))
        if keyword in _DATA_FROM_ELSEWHERE or token.text == b";":
            return None
        after_dot = token.text == b"."
    return None


def insert_from_file(insert: Insert, path: str) -> bytes:
    """The same insert with its rows in a file: INFILE stands before SETTINGS, FORMAT after it."""
    statement, settings, previous = insert.statement, b"", b""
    for token in _significant(insert.statement):
        if token.keyword == "SETTINGS" and previous not in _BEFORE_TABLE:  # a table may have that name
            statement, settings = insert.statement[: token.start], insert.statement[token.start :]
            break
        previous = token.text.upper()
    return b"%s FROM INFILE '%s' %s FORMAT %s" % (statement, path.encode(), settings, insert.format.encode())


def parse(sql: bytes) -> Statement:
    """Look over a statement that is not an insert with data; raises EngineError for what HTTP never allows."""
    opening: list[str] = []
    previous, first, found, ended = "", "", None, False
    for token in _significant(sql):
        if ended and token.text != b";":
            raise refusal(SYNTAX_ERROR, "Multi-statements are not allowed")
        ended = ended or token.text == b";"
        keyword = token.keyword
        if not first or (first == "WITH" and keyword == "INSERT"):
            first = keyword or token.text.decode("latin-1")
        if previous == "FORMAT" and token.kind == "word":
            found = token.text.decode()
        if previous == "INTO" and keyword == "OUTFILE":
            raise refusal(INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed")
        previous = keyword
        if len(opening) < 4:
            opening.append(keyword)
    return Statement(sql, first, found, sticky=first in _STICKY or "TEMPORARY" in opening)


_END = Token("end", b"", 0, 0, 0)


def _significant(sql: bytes) -> Iterator[Token]:
    """All tokens but blanks and comments. A bracket stands at the depth outside it."""
    depth = 0
    for match in _TOKEN.finditer(sql):
        kind, text = match.lastgroup or "", match.group()
        if kind == "space":
            continue
        if text in (b")", b"]"):
            depth -= 1
        yield Token(kind, text, match.start(), match.end(), depth)
        if text in (b"(", b"["):
            depth += 1


def _skip_target(tokens: Iterator[Token]) -> bool:
    """Read `[INTO] [TABLE] [FUNCTION] name`, so that a table called `values` is not taken for the keyword."""
    token = next(tokens, _END)
    for optional in ("INTO", "TABLE", "FUNCTION"):
        if token.keyword == optional:
            token = next(tokens, _END)
    return token.kind in ("word", "name")


def _insert_with_format(head: bytes, keyword: Token, name: Token) -> Insert | None:
    if name.kind != "word":
        return None
    gap = _BEFORE_DATA.match(head, name.end)
    start = gap.end() if gap else name.end
    return Insert(head[: keyword.start].rstrip(), name.text.decode(), head[start:])
