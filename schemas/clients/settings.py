"""Settings from the environment: one frozen dataclass per process, loaded once, every mistake reported together.

A field `idle_timeout_s` of a class loaded with prefix `GATEWAY_` is set by `GATEWAY_IDLE_TIMEOUT_S`. A field declares its
meaning and bounds with `setting(...)`. Hand-written (50 lines) because pydantic-settings lets unknown names pass silently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, field, fields
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")
TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


class SettingsError(ValueError):
    """Every bad value and unknown name of one load, a line each."""


def setting(default: Any, doc: str, *, low: float | None = None, high: float | None = None, choices: str = "") -> Any:
    """Declare a setting: default, meaning (with unit), inclusive bounds or allowed words separated by blanks."""
    return field(default=default, metadata={"doc": doc, "low": low, "high": high, "choices": choices.split()})


def _parse(text: str, kind: Any, meta: Mapping[str, Any]) -> Any:
    """Parse one value; raises ValueError with a message that fits behind the name of the variable."""
    value: Any
    if kind is bool:
        word = text.strip().lower()
        if word not in TRUE | FALSE:
            raise ValueError(f"{text!r} is not a yes or no (1, 0, true, false, yes, no, on, off)")
        return word in TRUE
    try:
        value = kind(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is not {'a whole number' if kind is int else 'a number'}") from None
    low, high = meta.get("low"), meta.get("high")
    if (low is not None and value < low) or (high is not None and value > high):
        raise ValueError(f"{text} is outside {low} to {high}" if high is not None else f"{text} is below {low}")
    if meta.get("choices") and value not in meta["choices"]:
        raise ValueError(f"{text!r} is none of {', '.join(meta['choices'])}")
    return value


def load(settings_class: type[T], prefix: str, environment: Mapping[str, str]) -> T:
    """Read the settings of one process; raises SettingsError naming every bad value and unknown `prefix` name."""
    hints = get_type_hints(settings_class)
    known = {prefix + f.name.upper(): f for f in fields(settings_class)}  # type: ignore[arg-type]
    mistakes, values = [], {}
    for name in sorted(environment):
        if not name.startswith(prefix):
            continue
        if name not in known:
            mistakes.append(f"{name}: no such setting (known: {', '.join(sorted(known))})")
            continue
        try:
            values[known[name].name] = _parse(environment[name], hints[known[name].name], known[name].metadata)
        except ValueError as error:
            mistakes.append(f"{name}: {error}")
    if mistakes:
        raise SettingsError("\n".join(mistakes))
    return settings_class(**values)


def describe(settings_class: type[Any], prefix: str, values: Any = None) -> list[tuple[str, str, str]]:
    """(variable, value or default, meaning) for each setting: for --print-settings and the documentation."""
    rows = []
    for f in fields(settings_class):
        default = "" if f.default is MISSING else f.default
        shown = str(default if values is None else getattr(values, f.name))
        if ("password" in f.name or "secret" in f.name) and shown:
            shown = "(set)"  # never in a terminal or a log
        rows.append((prefix + f.name.upper(), shown, f.metadata["doc"]))
    return rows
