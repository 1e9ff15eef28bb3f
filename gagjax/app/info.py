"""`gagjax info`: what a file is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from gagjax.errors import InputError


@dataclass
class Info:
    """Say what a file is.

    examples:
      gagjax info portrait.jpg
    """

    path: Positional[Path]
    """An image."""

    def run(self) -> int:
        from PIL import Image, UnidentifiedImageError

        if not self.path.exists():
            raise InputError("does not exist", file=self.path)
        try:
            with Image.open(self.path) as image:
                print(f"{self.path}: {image.format} image, {image.width}x{image.height}")
        except (UnidentifiedImageError, OSError) as error:
            raise InputError("is no image", file=self.path) from error
        return 0
