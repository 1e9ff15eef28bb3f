"""Presets by name or file, and the stages that command-line flags select."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gagjax.errors import InputError
from gagjax.text.printable import quoted

if TYPE_CHECKING:
    from gagjax.stack import Stack

#: The four enhancements and the `Stack` stages that each consists of.
ENHANCEMENTS: dict[str, tuple[str, ...]] = {
    "temporal": ("temporal",),
    "expression": ("expression",),
    "gaze": ("gaze",),
    "detail": ("detail", "eyes"),
}
#: Enabled by default in `default` and `live`; gaze correction runs only on request.
USUAL = ("temporal", "expression", "detail")
#: The published usage scenarios and the enhancements that each enables.
SCENARIOS: dict[str, tuple[str, ...]] = {
    "quality": ("temporal", "expression", "gaze", "detail"),
    "balanced": ("temporal", "detail"),
    "fast": (),
    "interaction": ("expression", "gaze"),
    "smooth": ("temporal",),
}
#: Keys allowed in a preset file; `fitted` records what it was fitted on, for the reader.
KEYS = {"preset", "enable", "set", "variant", "identity", "pca", "fitted"}
SIZE_LIMIT = 1 << 16  # bytes of a preset file
EVENTS, DEPTH = 20_000, 16  # limits on YAML events and on nesting depth
COUNT = 64  # upper bound for integer settings: levels, candidates, patience
STACKS = ("default", "live", "reference")
_FILE = """A preset file is YAML such as
  preset: default        # or live, reference
  enable: [temporal, detail]
  set: {temporal.jaw.highest: 8.0}"""


def stages_of(enhancements: Iterable[str]) -> tuple[str, ...]:
    """The stages of some enhancements, in execution order."""
    chosen = set(enhancements)
    return tuple(stage for name, stages in ENHANCEMENTS.items() if name in chosen for stage in stages)


class Options(NamedTuple):
    """What flags change in a preset, beside its list of enhancements.

    Attributes:
        variant: Of `reference`: "document" or "code"; None is the preset's.
        identity: Of `reference`: weigh expressions as with identity features.
        strength: Factor on the detail stage's strength.
        settings: `PATH=NUMBER` each, as under `set` in a preset file.
    """

    variant: str | None = None
    identity: bool = False
    strength: float = 1.0
    settings: tuple[str, ...] = ()


def stack_of(
    preset: str | None,
    enhancements: Iterable[str] = (),
    *,
    text: str | None = None,
    options: Options | None = None,
) -> Any:
    """Build the stack for a preset and flags.

    Args:
        preset: "default", "live", "reference", a scenario, a preset file, or None.
        enhancements: Enabled by the flags. Without flags, `default` and `live` run everything except gaze correction,
            and `reference` runs everything; without a preset and flags, nothing runs. A scenario runs its own
            enhancements plus those of the flags.
        text: Content of the preset file, if already read.
        options: What flags change in it.

    Returns:
        A `gagjax.Stack`.

    Raises:
        InputError: If the preset does not exist, its file is invalid, or it has not what an option changes.
    """
    options = Options() if options is None else options
    return _adjusted(_of_preset(preset, tuple(enhancements), text, options), options)


def _of_preset(preset: str | None, chosen: tuple[str, ...], text: str | None, options: Options) -> Any:
    if preset is None:
        return _named("default", chosen, options)
    if preset in SCENARIOS:
        return _named("default", (*SCENARIOS[preset], *chosen), options)
    if preset in STACKS:
        return _named(preset, chosen or usual(preset), options)
    path = Path(preset)
    if text is not None:
        return _of_text(text, path, chosen, options)
    if not path.is_file():
        names = ", ".join((*STACKS, *SCENARIOS))
        raise InputError(f"{preset!r} is neither a preset nor a file", field="--preset", fix=f"Use {names}, or a file")
    return _of_file(path, chosen, options)


def _adjusted(stack: Stack, options: Options) -> Any:
    """The stack with a detail strength and single numbers from the command line."""
    if options.strength != 1:
        stack = with_strength(stack, options.strength)
    for setting in options.settings:
        name, equals, number = setting.partition("=")
        try:
            value = float(number)
        except ValueError:
            equals = ""
        if not equals or len(setting) > 200:
            raise InputError(
                f"is {quoted(setting)}", field="--set", fix="Use PATH=NUMBER, such as temporal.jaw.highest=8"
            )
        whole = int(value) if value.is_integer() and abs(value) <= COUNT else value
        stack = _with(stack, name.strip().split("."), whole, Path("--set"), name)
    return stack


def with_strength(stack: Stack, strength: float) -> Any:
    """A stack whose detail stage is this many times as strong.

    Raises:
        InputError: If it has no detail stage, or one without a strength.
    """
    import numpy as np

    from gagjax.protocols import HasStrength

    if not isinstance(stack.detail, HasStrength):
        raise InputError(
            "nothing has a strength here", field="--strength", fix="Leave it out, or enable the detail enhancement"
        )
    changed = np.float32(strength) * np.asarray(stack.detail.strength, np.float32)
    detail: Any = stack.detail
    return dataclasses.replace(stack, detail=dataclasses.replace(detail, strength=changed))


def usual(stack: object) -> tuple[str, ...]:
    """The enhancements that a stack's preset runs by default."""
    return tuple(ENHANCEMENTS) if stack == "reference" else USUAL


def _named(name: str, enhancements: Iterable[str], options: Options) -> Any:
    from gagjax.reference import Variant, check_variant
    from gagjax.stack import Stack

    stages = stages_of(enhancements)
    if name == "reference":
        variant: Any = options.variant or "document"
        check_variant(variant)
        chosen: Variant = variant
        return Stack.reference(chosen, enable=stages, identity=options.identity)
    if options.variant is not None or options.identity:
        what = "--variant" if options.variant is not None else "--identity"
        raise InputError("is of the preset reference alone", field=what, fix="Pass --preset reference, or leave it out")
    return Stack.live(enable=stages) if name == "live" else Stack.default(enable=stages)


def _of_file(path: Path, chosen: tuple[str, ...], options: Options) -> Any:
    if path.stat().st_size > SIZE_LIMIT:
        raise InputError("is too large for a preset", file=path, fix=_FILE)
    try:
        text = path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise InputError("is no readable YAML", file=path, fix=_FILE) from error
    return _of_text(text, path, chosen, options)


def _of_text(text: str, path: Path, chosen: tuple[str, ...], options: Options) -> Any:
    content = _content(text, path)
    if not isinstance(content, Mapping) or not set(content) <= KEYS:
        raise InputError("is no preset", file=path, fix=_FILE)
    base = content.get("preset", "default")
    if not isinstance(base, str) or base not in STACKS:
        raise InputError(f"{quoted(base)} is unknown", file=path, field="preset", fix=f"Use {', '.join(STACKS)}")
    enable = content.get("enable", list(usual(base)))
    if not isinstance(enable, list) or not all(isinstance(each, str) and each in ENHANCEMENTS for each in enable):
        raise InputError(
            f"is {quoted(enable)}", file=path, field="enable", fix=f"List some of {', '.join(ENHANCEMENTS)}"
        )
    stack = _named(base, chosen or enable, _with_file(content, base, options, path))
    if content.get("pca") is not None:
        from gagjax.app import preset_pca

        stack = preset_pca.applied(stack, content["pca"], path)
    settings = content.get("set") or {}
    if not isinstance(settings, Mapping):
        raise InputError("is no mapping", file=path, field="set", fix=_FILE)
    for name, value in settings.items():
        if not isinstance(name, str):
            raise InputError(f"names {quoted(name)}", file=path, field="set", fix="Name a hyperparameter by its path")
        stack = _with(stack, name.split("."), value, path, name)
    return stack


def _with_file(content: Mapping[str, Any], base: str, options: Options, path: Path) -> Options:
    """The options, the file's variant and identity in the place of flags that were not given."""
    variant, identity = content.get("variant"), content.get("identity", False)
    for name, value, fits in (
        ("variant", variant, variant is None or (isinstance(variant, str) and variant in ("document", "code"))),
        ("identity", identity, isinstance(identity, bool)),
    ):
        if not fits:
            raise InputError(f"is {quoted(value)}", file=path, field=name, fix="Use document or code, true or false")
        if value not in (None, False) and base != "reference":
            raise InputError("is of the preset reference alone", file=path, field=name, fix="Leave it out")
    return options._replace(variant=options.variant or variant, identity=options.identity or identity)


def _content(text: str, path: Path) -> Any:
    """Parse YAML in bounded time: no aliases, limited nesting and size."""
    import yaml

    if len(text) > SIZE_LIMIT:
        raise InputError("is too large for a preset", file=path, fix=_FILE)
    depth = 0
    try:
        for count, event in enumerate(yaml.parse(text, yaml.SafeLoader)):
            # Nested aliases can expand beyond any memory ("billion laughs").
            if isinstance(event, yaml.AliasEvent):
                raise InputError("uses references (*name), which presets do not", file=path, fix=_FILE)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEPTH or count > EVENTS:
                raise InputError("is nested deeper, or longer, than any preset", file=path, fix=_FILE)
        return yaml.safe_load(text)
    except InputError:
        raise
    # PyYAML also raises the errors of int(), of dates, of tags without a value, etc.
    except Exception as error:
        raise InputError("is no readable YAML", file=path, fix=_FILE) from error


def _with(value: Any, names: list[str], number: Any, path: Path, whole: str) -> Any:
    """Copy a dataclass with one nested number replaced."""

    fields = {f.name for f in dataclasses.fields(value)} if dataclasses.is_dataclass(value) else set()
    if names[0] not in fields:
        fix = (
            f"There are {', '.join(sorted(fields))}" if fields else "It names a stage that is not enabled, or no stage"
        )
        raise InputError(f"has no {names[0]!r}", file=path, field=whole, fix=fix)
    if not {f.name: f.init for f in dataclasses.fields(value)}[names[0]]:
        raise InputError("follows from other fields", file=path, field=whole, fix="Set those")
    before = getattr(value, names[0])
    if len(names) > 1:
        after = _with(before, names[1:], number, path, whole)
    else:
        after = _number(before, number, path, whole)
        structure = {f.name: f.metadata.get("static", False) for f in dataclasses.fields(value)}[names[0]]
        after = float(after) if structure and type(before) is float else after  # structure must be hashable
    try:
        made = dataclasses.replace(value, **{names[0]: after})
    except ValueError as error:  # raised by the class's own validation
        raise InputError(str(error), file=path, field=whole, fix="Choose another value") from error
    if type(after) is int and getattr(made, names[0]) != after:
        raise InputError("follows from other fields", file=path, field=whole, fix="Set those")
    return made


def _number(before: Any, number: Any, path: Path, whole: str) -> Any:
    """Convert a preset's number to the type of the current value."""
    import numpy as np

    if type(before) is bool:
        if type(number) is not int or number not in (0, 1):
            raise InputError(f"is {quoted(number)}", file=path, field=whole, fix="Give 0 or 1")
        return bool(number)
    counts = type(before) is int
    if not counts and type(before) is not float and not (hasattr(before, "dtype") and before.dtype.kind in "fiu"):
        raise InputError("is no number", file=path, field=whole, fix="Name a number")
    if np.ndim(before) or type(number) not in (int, float):
        raise InputError(
            f"cannot be set to {quoted(number)}", file=path, field=whole, fix="Name a number and give a number"
        )
    if counts:
        if type(number) is not int or not 0 <= number <= COUNT:
            raise InputError(f"is {quoted(number)}", file=path, field=whole, fix=f"Give a whole number up to {COUNT}")
        return number
    if not -3e38 < number < 3e38:  # also rejects NaN
        raise InputError(f"is {quoted(number)}", file=path, field=whole, fix="Give a finite number")
    return np.asarray(number, np.float32)
