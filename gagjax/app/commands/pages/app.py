"""`gagjax app`: a page to drop a photo and a film on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from gagjax.errors import InputError


@dataclass
class App:
    """Open a page in the browser: drop a photo and films or tracks, choose a preset, run, compare, download.

    The page runs the same commands as a terminal (avatar, reenact, enhance) and shows them. It is served on this machine
    only, opens only with the printed address, and loads nothing from elsewhere. Results go to numbered folders.

    examples:
      gagjax app
      gagjax app -o results/ --port 9000
      gagjax app -r GAGAvatar.pt --flame FLAME_with_eye.pt
    """

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("gagjax_app")
    """Folder of the results; each run gets a numbered folder in it."""
    checkpoint: Annotated[Path | None, tyro.conf.arg(aliases=["-r"])] = None
    """GAGAvatar.pt, to drive GAGAvatar instead of an avatar without a network."""
    flame: Path | None = None
    """FLAME_with_eye.pt or generic_model.pkl, for GAGAvatar."""
    fps: str | None = None
    """Frame rate to assume for tracks that have none; 25 by default."""
    port: int = 7860
    """Port of the page, http://localhost:PORT; the next free one if it is taken."""
    host: str = "127.0.0.1"
    """Address to listen on: 0.0.0.0 also serves other machines that have the printed address."""

    def run(self) -> int:
        if not 1 <= self.port <= 65535:
            raise InputError(f"is {self.port}", field="--port", fix="Use 1 to 65535")
        for path in (self.checkpoint, self.flame):
            if path is not None and not path.is_file():
                raise InputError("does not exist", file=path)
        if self.checkpoint is not None and self.flame is None:
            raise InputError("needs a FLAME file", field="-r", fix="Pass --flame FLAME_with_eye.pt")
        if self.out.exists() and not self.out.is_dir():
            raise InputError("is no folder", file=self.out, fix="Name a folder for the results")
        print("starting the page; this takes a few seconds", flush=True)
        import importlib.util

        if importlib.util.find_spec("gradio") is None:
            raise InputError("needs gradio", field="gagjax app", fix="pip install 'gagjax[app]'")
        from gagjax.app.web.page import AppPage

        page = AppPage(
            self.out, host=self.host, port=self.port, checkpoint=self.checkpoint, flame=self.flame, fps=self.fps
        )
        try:
            print(f"{page.address} is the page; results go to {self.out}; Ctrl-C ends it", flush=True)
            page.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            page.close()
        return 0
