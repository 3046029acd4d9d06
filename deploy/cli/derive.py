"""`lodestream derive`: events of a file of positions, through the same step() as the live line."""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

import click
import orjson

from deploy.cli.derive_input import BadLine, Reader
from deploy.rulefiles import RuleFileError, rulebook_from
from processors.derive import rules as rules_module
from processors.derive.entries import Report
from processors.derive.fleet import Fleet
from processors.derive.rules import RANGES, Parameters, Rules
from processors.derive.step import Derived
from schemas.records import Event, Flag

EXIT_BAD_LINES = 1
EXIT_USAGE = 2


def event_row(event: Event) -> dict[str, Any]:
    """An event under its contract names; what it does not have is left out."""
    row: dict[str, Any] = {"kind": event.kind, "device_id": event.device_id, "time_ms": event.time_ms}
    if event.subject:
        row["subject"] = event.subject
    row["received_ms"] = event.received_ms
    if event.latitude is not None:
        row |= {"latitude": event.latitude, "longitude": event.longitude}
    if event.attributes:
        row["attributes"] = event.attributes
    return row


def position_row(given: dict[str, Any], report: Report, derived: Derived) -> dict[str, Any]:
    """A position as it was given, with what derivation says of it."""
    return given | {
        "device_id": report.device_id,
        "time_ms": derived.time_ms,
        "fix_time_ms": derived.fix_time_ms,
        "device_time_ms": derived.device_time_ms,
        "received_ms": report.received_ms,
        "frame_key": report.frame_key,
        "flags": [str(flag.name).lower() for flag in Flag(derived.flags)],
        "moving": None if derived.moving > 1 else bool(derived.moving),
    }


def parameter_docs() -> dict[str, str]:
    """What each parameter means: the texts under the fields of Parameters."""
    tree = ast.parse(inspect.getsource(rules_module))
    body = next(n.body for n in tree.body if isinstance(n, ast.ClassDef) and n.name == Parameters.__name__)
    found = {}
    for field, text in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            assert isinstance(text.value, ast.Constant)
            found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def show_parameters(form: str) -> None:
    """Every parameter with its default, range and reason."""
    defaults, docs = Parameters(), parameter_docs()
    for name in docs:
        if name == "speed_limit_source":
            continue
        default, between = getattr(defaults, name), RANGES.get(name)
        if form == "json":
            click.echo(json.dumps({"name": name, "default": default, "range": between, "doc": docs[name]}))
            continue
        told = "off" if default is None else str(default).lower() if between is None else f"{default:g}"
        click.echo(f"{name} = {told}" + (f"   ({between[0]:g} to {between[1]:g})" if between else ""))
        click.echo(click.wrap_text(docs[name], 100, "    ", "    "))


def load_rules(path: str | None) -> Rules:
    """The rules of a file, or the defaults. Raises RuleFileError, OSError."""
    return Rules.default() if path is None else rulebook_from(Path(path).read_text(encoding="utf-8")).rules()


def derive(lines: Iterable[bytes], out: TextIO, rules: Rules, positions: bool, keep_going: bool, name: str) -> int:
    """Derive line by line; returns the exit code."""
    reader, fleet, code, told = Reader(), Fleet(rules), 0, 0
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith(b"#"):
            continue
        try:
            entries = list(reader.entries(text))
        except BadLine as error:
            out.flush()
            click.echo(f"derive: {name} line {number}: {error}", err=True)
            if not keep_going:
                return EXIT_USAGE
            code = EXIT_BAD_LINES
            continue
        for key in [*reader.unknown][told:]:
            click.echo(f"derive: {name} line {number}: {reader.unknown[key]}; it is ignored", err=True)
        told = len(reader.unknown)
        for entry, row in entries:
            for outcome in fleet.feed(entry):
                if not positions:
                    for event in outcome.events:
                        _print(out, event_row(event))
                elif outcome.derived is not None and isinstance(entry, Report):
                    _print(out, position_row(row, entry, outcome.derived))
    out.flush()
    return code


def _print(out: TextIO, row: dict[str, Any]) -> None:
    out.write(orjson.dumps(row).decode() + "\n")


def run(file: str, rules_file: str | None, positions: bool, keep_going: bool) -> int:
    """Read the rules, then the lines; returns the exit code."""
    try:
        rules = load_rules(rules_file)
    except RuleFileError as error:
        click.echo(f"derive: {rules_file}: " + str(error).replace("\n", f"\nderive: {rules_file}: "), err=True)
        return EXIT_USAGE
    except (OSError, UnicodeDecodeError) as error:
        click.echo(f"derive: cannot read the rules: {error}", err=True)
        return EXIT_USAGE
    if file == "-":
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # somebody may wait at the other end
        return derive(sys.stdin.buffer, sys.stdout, rules, positions, keep_going, "standard input")
    try:
        with Path(file).open("rb") as lines:
            return derive(lines, sys.stdout, rules, positions, keep_going, file)
    except OSError as error:
        click.echo(f"derive: cannot read {file}: {error.strerror or error}", err=True)
        return EXIT_USAGE
