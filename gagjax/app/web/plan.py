"""What one press of the run button does: the commands, the files that they write, and the preset that they share."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from gagjax.app import presets
from gagjax.app.viewer.session import KNOBS, Knob, value_at
from gagjax.errors import InputError
from gagjax.io import suffixes

#: Every slider that the page may show, by its path in the stack; a preset shows those that it has.
SLIDERS: dict[str, Knob] = {
    knob.path: knob
    for knob in (
        *KNOBS,
        Knob("expression.retargeter.gain", "expression, gain", 0.0, 2.0),
        Knob("detail.strength", "detail, strength", 0.0, 2.0),
        Knob("eyes.strength", "eyes, sharpening", 0.0, 2.0),
    )
}
PRESETS = (*presets.STACKS, *presets.SCENARIOS)
TRACKS = (".npz", ".pkl", ".pickle", ".pt", ".pth", ".json", ".jsonl")


@dataclass(frozen=True)
class Choices:
    """What the user chose on the page.

    Args:
        drivers: Films, pictures or tracks that drive the avatar.
        photo: The person to drive; None is the built-in avatar.
        preset: One of `PRESETS`.
        enable: Enhancements that are switched on.
        values: Slider values by path; those of stages that are off are ignored.
        file: A preset file of the user, instead of `preset`, `enable` and `values`.
        size: Frame size, pixels.
        compare: Whether to render the driver without enhancement as well.
    """

    drivers: tuple[Path, ...]
    photo: Path | None = None
    preset: str = "default"
    enable: tuple[str, ...] = presets.USUAL
    values: dict[str, float] = field(default_factory=dict)
    file: Path | None = None
    size: int = 512
    compare: bool = True


class Step(NamedTuple):
    """One command.

    Attributes:
        label: What it does, for the user.
        words: The command's words after `gagjax`; empty for a step that joins two videos.
        makes: The file or folder that it writes.
        joins: The two videos that it shows side by side, if it is no command.
    """

    label: str
    words: tuple[str, ...]
    makes: Path
    joins: tuple[Path, Path] | None = None


class Result(NamedTuple):
    """What one driver gives; None where a choice leaves a file out.

    Attributes:
        name: The driver's name.
        video: The enhanced video.
        shown: Before and after side by side, or the video alone.
        track: The enhanced track; None for a still picture, which has none.
    """

    name: str
    video: Path
    shown: Path
    track: Path | None


class Plan(NamedTuple):
    """All steps of a run.

    Attributes:
        folder: Folder of all outputs.
        preset: The preset file that all commands get.
        steps: The commands in order.
        results: What each driver gives.
    """

    folder: Path
    preset: Path
    steps: tuple[Step, ...]
    results: tuple[Result, ...]


def sliders_of(preset: str) -> dict[str, float]:
    """The sliders that a preset has, with its own values; none for `reference`, whose constants are published."""
    from gagjax.stack import STAGES, Stack

    if preset == "reference":
        return {}
    stack = Stack.live(enable=STAGES) if preset == "live" else Stack.default(enable=STAGES)
    found = {path: value_at(stack, path) for path in SLIDERS}
    return {path: round(float(value), 3) for path, value in found.items() if value is not None}


def enhancements_of(preset: str) -> tuple[str, ...]:
    """The enhancements that a preset switches on by itself."""
    return presets.SCENARIOS[preset] if preset in presets.SCENARIOS else presets.usual(preset)


def preset_text(choices: Choices) -> str:
    """The choices as a preset file; only what differs from the preset is set."""
    import yaml

    base = choices.preset if choices.preset in presets.STACKS else "default"
    own = sliders_of(choices.preset)
    running = presets.stages_of(choices.enable)
    changed = {
        path: round(float(value), 4)
        for path, value in choices.values.items()
        if path in own and abs(value - own[path]) > 1e-6 and path.split(".")[0] in running
    }
    return yaml.safe_dump({"preset": base, "enable": list(choices.enable), "set": changed}, sort_keys=False)


def plan(
    choices: Choices,
    outputs: Path,
    *,
    checkpoint: Path | None = None,
    flame: Path | None = None,
    fps: str | None = None,
) -> Plan:
    """Make the run's folder, put drivers and preset into it, and write down its commands.

    Args:
        choices: From the page.
        outputs: Folder of all runs; each gets the next free number in it.
        checkpoint: `GAGAvatar.pt`, or None for an avatar without a network.
        flame: A FLAME file, for `checkpoint`.
        fps: Frame rate to assume where a track has none.

    Returns:
        The plan; nothing has been run.

    Raises:
        InputError: If a choice is missing or cannot be used.
    """
    if not choices.drivers:
        raise InputError("is missing", field="driver", fix="Drop a film, a picture or a track")
    if checkpoint is not None and choices.photo is None:
        raise InputError("is missing", field="photo", fix="GAGAvatar needs a photo, or start the page without -r")
    for path in choices.drivers:
        if not (suffixes.is_video(path) or suffixes.is_image(path) or path.suffix.lower() in TRACKS):
            raise InputError("is no film, picture or track", file=path.name, fix=f"Tracks end in {', '.join(TRACKS)}")
    # Read here, so that a mistake in it is told before a film has been tracked.
    text = preset_text(choices) if choices.file is None else choices.file.read_text(encoding="utf-8", errors="replace")
    presets.stack_of("preset.yaml", text=text)
    folder = _next(outputs)
    kept = folder / "preset.yaml"
    kept.write_text(text, encoding="utf-8")
    drivers = _gathered(choices.drivers, folder / "drivers")

    who: tuple[str, ...] = ("--size", str(choices.size))
    steps: list[Step] = []
    if choices.photo is not None:
        if checkpoint is not None:
            who = ("-i", str(choices.photo), "-r", str(checkpoint))
            who += () if flame is None else ("--flame", str(flame))
        else:
            avatar = folder / "avatar"
            steps.append(Step("avatar of the photo", ("avatar", str(choices.photo), "-o", str(avatar)), avatar))
            who = (*who, "--avatar", str(avatar))
    results = []
    for driver in drivers:
        made, result = _of_driver(driver, folder, kept, who, choices.compare, fps)
        steps += made
        results.append(result)
    return Plan(folder, kept, tuple(steps), tuple(results))


def _of_driver(
    driver: Path, folder: Path, preset: Path, who: tuple[str, ...], compare: bool, fps: str | None
) -> tuple[list[Step], Result]:
    name = driver.stem
    rate = () if fps is None else ("--fps", fps)
    video, before, shown = (folder / f"{name}{end}.mp4" for end in ("", "_before", "_compared"))
    common = ("reenact", *who, "-d", str(driver), "--alone", *rate)
    steps = [Step(f"{name}: enhanced", (*common, "-o", str(video), "--preset", str(preset)), video)]
    track: Path | None = folder / f"{name}.npz"
    source = driver
    if suffixes.is_image(driver):
        track = None
    elif suffixes.is_video(driver):
        source = folder / f"{name}_tracked.npz"  # where `reenact` keeps the track of a film
    if track is not None:
        words = ("enhance", str(source), "-o", str(track), "--preset", str(preset), *rate)
        steps.append(Step(f"{name}: track", words, track))
    if compare:
        steps.append(Step(f"{name}: not enhanced, to compare", (*common, "-o", str(before)), before))
        steps.append(Step(f"{name}: before and after", (), shown, (before, video)))
    return steps, Result(name, video, shown if compare else video, track)


def _next(outputs: Path) -> Path:
    """Make the next free numbered folder."""
    outputs.mkdir(parents=True, exist_ok=True)
    for number in range(1, 100_000):
        folder = outputs / f"{number:03}"
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise InputError("is full", file=outputs, fix="Choose another folder with -o")


def _gathered(drivers: Sequence[Path], folder: Path) -> list[Path]:
    """The drivers in one folder, under names that differ and that a shell can type."""
    folder.mkdir()
    found: list[Path] = []
    for path in drivers:
        stem = re.sub(r"[^\w-]+", "_", path.stem).strip("_-") or "driver"
        taken = {each.stem for each in found} | {"avatar", "preset", "drivers"}
        name = next(each for each in (stem, *(f"{stem}_{k}" for k in range(2, 10_000))) if each not in taken)
        place = folder / f"{name}{path.suffix.lower()}"
        try:
            os.link(path, place)
        except OSError:  # another disk
            shutil.copyfile(path, place)
        found.append(place)
    return found
