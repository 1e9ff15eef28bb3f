"""Presets by name or file, and which stages the command line's flags mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gagjax.errors import InputError

#: The four enhancements and the stages of a `Stack` that each is made of.
ENHANCEMENTS: dict[str, tuple[str, ...]] = {
    "temporal": ("temporal",),
    "expression": ("expression",),
    "gaze": ("gaze",),
    "detail": ("detail", "eyes"),
}
#: What `default` and `live` switch on by themselves: the eyes are aimed only when asked.
USUAL = ("temporal", "expression", "detail")
#: The published usage scenarios: the enhancements that each switches on.
SCENARIOS: dict[str, tuple[str, ...]] = {
    "quality": ("temporal", "expression", "gaze", "detail"),
    "balanced": ("temporal", "detail"),
    "fast": (),
    "interaction": ("expression", "gaze"),
    "smooth": ("temporal",),
}
#: What a preset file may hold; `fitted` says what it was fitted on and is for readers.
KEYS = {"preset", "enable", "set", "fitted"}
SIZE_LIMIT = 1 << 20
STACKS = ("default", "live", "reference")
_FILE = """A preset file is YAML such as
  preset: default        # or live, reference
  enable: [temporal, detail]
  set: {temporal.jaw.highest: 8.0}"""


def stages_of(enhancements: Iterable[str]) -> tuple[str, ...]:
    """The stages of some enhancements, in the order in which they run."""
    chosen = set(enhancements)
    return tuple(stage for name, stages in ENHANCEMENTS.items() if name in chosen for stage in stages)


def stack_of(preset: str | None, enhancements: Iterable[str] = (), *, text: str | None = None) -> Any:
    """The stack that a preset and flags mean.

    Args:
        preset: "default", "live", "reference", a scenario, a preset file, or None.
        enhancements: What the flags switch on. Without a flag, `default` and `live` run all but the gaze, and
            `reference` everything; without a preset either, nothing runs. A scenario runs its own enhancements and
            those of the flags.
        text: The content of the preset file, where that is known already.

    Returns:
        A `gagjax.Stack`.

    Raises:
        InputError: If there is no such preset, or the file cannot be used.
    """
    chosen = tuple(enhancements)
    if preset is None:
        return _named("default", chosen)
    if preset in SCENARIOS:
        return _named("default", (*SCENARIOS[preset], *chosen))
    if preset in STACKS:
        return _named(preset, chosen or usual(preset))
    path = Path(preset)
    if text is not None:
        return _of_text(text, path, chosen)
    if not path.is_file():
        names = ", ".join((*STACKS, *SCENARIOS))
        raise InputError(f"{preset!r} is neither a preset nor a file", field="--preset", fix=f"Use {names}, or a file")
    return _of_file(path, chosen)


def usual(stack: Any) -> tuple[str, ...]:
    """The enhancements that a stack's preset runs where nothing else is said."""
    return tuple(ENHANCEMENTS) if stack == "reference" else USUAL


def _named(name: str, enhancements: Iterable[str]) -> Any:
    from gagjax.stack import Stack

    stages = stages_of(enhancements)
    if name == "reference":
        return Stack.reference(enable=stages)
    return Stack.live(enable=stages) if name == "live" else Stack.default(enable=stages)


def _of_file(path: Path, chosen: tuple[str, ...]) -> Any:
    if path.stat().st_size > SIZE_LIMIT:
        raise InputError("is too large for a preset", file=path, fix=_FILE)
    try:
        text = path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise InputError("is no readable YAML", file=path, fix=_FILE) from error
    return _of_text(text, path, chosen)


def _of_text(text: str, path: Path, chosen: tuple[str, ...]) -> Any:
    import yaml

    try:
        # A few lines of references to references stand for more than any memory holds.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise InputError("uses references (*name), which presets do not", file=path, fix=_FILE)
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("is no readable YAML", file=path, fix=_FILE) from error
    if not isinstance(content, Mapping) or not set(content) <= KEYS:
        raise InputError("is no preset", file=path, fix=_FILE)
    base = content.get("preset", "default")
    enable = content.get("enable", list(usual(base)))
    if base not in STACKS:
        raise InputError(f"{base!r} is unknown", file=path, field="preset", fix=f"Use {', '.join(STACKS)}")
    if not isinstance(enable, list) or not set(map(str, enable)) <= set(ENHANCEMENTS):
        raise InputError(f"is {enable!r}", file=path, field="enable", fix=f"List some of {', '.join(ENHANCEMENTS)}")
    stack = _named(base, chosen or enable)
    settings = content.get("set") or {}
    if not isinstance(settings, Mapping):
        raise InputError("is no mapping", file=path, field="set", fix=_FILE)
    for name, value in settings.items():
        stack = _with(stack, str(name).split("."), value, path, str(name))
    return stack


def _with(value: Any, names: list[str], number: Any, path: Path, whole: str) -> Any:
    """A dataclass with one number inside it replaced."""
    import numpy as np

    fields = {f.name for f in dataclasses.fields(value)} if dataclasses.is_dataclass(value) else set()
    if names[0] not in fields:
        fix = (
            f"There are {', '.join(sorted(fields))}" if fields else "It names a stage that is not enabled, or no stage"
        )
        raise InputError(f"has no {names[0]!r}", file=path, field=whole, fix=fix)
    before = getattr(value, names[0])
    if len(names) > 1:
        after = _with(before, names[1:], number, path, whole)
    elif type(number) in (int, float) and np.ndim(before) == 0 and np.asarray(before).dtype.kind in "fiu":
        after = np.asarray(number, np.float32)
    else:
        raise InputError(f"cannot be set to {number!r}", file=path, field=whole, fix="Name a number and give a number")
    try:
        return dataclasses.replace(value, **{names[0]: after})
    except ValueError as error:  # the class's own check of its numbers
        raise InputError(str(error), file=path, field=whole, fix="Choose another value") from error
