"""`gagjax view`: a track in the browser, before and after, with sliders that enhance it anew."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from gagjax.errors import InputError

if TYPE_CHECKING:
    from gagjax.flame.model import FlameModel


@dataclass
class View:
    """Look at a track in the browser: the head moving, curves before and after, sliders that work at once.

    The head is the built-in one, or your FLAME file. With a second track, such as a saved result, the two are compared.
    What the sliders say can be saved as a preset for every command, in one folder. The page is served on this machine
    only, to those who have the address that is printed: it holds a token that is new each time.

    examples:
      gagjax view clip/
      gagjax view noisy.npz steady.npz
      gagjax view clip/ --preset mine.yaml --flame flame2023.pkl
      gagjax view driver.npz --avatar avatar/
    """

    track: tyro.conf.Positional[Path]
    """The track."""
    result: tyro.conf.Positional[Path | None] = None
    """A track to show as the result, instead of enhancing with sliders."""
    preset: str = "default"
    """default, live, reference, a scenario, or a preset file."""
    flame: Path | None = None
    """A FLAME file; the built-in head otherwise."""
    avatar: Path | None = None
    """Show an avatar's Gaussians: the folder that `gagjax avatar` or `gagjax fit` wrote."""
    gaussians: bool = False
    """Show the built-in avatar's Gaussians instead of the mesh."""
    fps: str | None = None
    """Frame rate, where the file holds none (25 otherwise)."""
    port: int = 8080
    """Where the page is: http://localhost:PORT. If it is taken, the next free one."""
    presets: Path = Path("presets")
    """The folder in which the page saves presets, made when the first is saved; it writes nowhere else."""
    host: str = "127.0.0.1"
    """Whom to serve: 0.0.0.0 lets other machines look as well, if they have the address."""

    def run(self) -> int:
        if not 1 <= self.port <= 65535:
            raise InputError(f"is {self.port}", field="--port", fix="Use 1 to 65535")
        if self.gaussians and self.avatar is not None:
            raise InputError("shows the built-in avatar", field="--gaussians", fix="Pass --avatar alone")
        if self.gaussians and self.flame is not None:
            raise InputError("shows the built-in avatar", field="--gaussians", fix="Leave --flame out")
        try:
            import viser  # noqa: F401
        except ImportError as error:
            raise InputError("needs viser", field="gagjax view", fix="pip install 'gagjax[viewer]'") from error
        from gagjax import flame
        from gagjax.app import presets
        from gagjax.app.commands.enhance import fitting
        from gagjax.app.commands.reenact import in_a_row
        from gagjax.app.viewer.page import Viewer
        from gagjax.app.viewer.session import ViewerSession
        from gagjax.io.tracks import load_track

        if self.presets.exists() and not self.presets.is_dir():
            raise InputError("is no folder", file=self.presets, fix="Name a folder for presets")
        stack = presets.stack_of(self.preset)
        track = load_track(self.track, fps=self.fps)
        after = None if self.result is None else load_track(self.result, fps=self.fps)
        track = in_a_row(track)
        after = None if after is None else after.one_after_another()
        head = None if self.flame is None else flame.load(self.flame)
        avatar, model = self._avatar(head)
        stack, said = fitting(stack, track)
        for line in said:
            print(line)
        session = ViewerSession(track, stack, model, preset=self.preset, after=after)
        page = Viewer(session, host=self.host, port=self.port, avatar=avatar, folder=self.presets)
        print(f"{page.address} shows {self.track}; presets go to {self.presets}; Ctrl-C ends it", flush=True)
        try:
            page.play()
        except KeyboardInterrupt:
            return 0
        finally:
            page.close()
        return 0

    def _avatar(self, head: FlameModel | None) -> tuple[Any, Any]:
        """Whose Gaussians to show, None for the mesh; and the head."""
        from gagjax import flame

        if self.avatar is not None:
            from gagjax.avatars.personal import files
            from gagjax.avatars.portrait import files as portraits

            if portraits.is_portrait(self.avatar):
                kept = portraits.load(self.avatar, head)
                return kept.avatar, kept.model
            saved = files.load(self.avatar, head)
            return saved.avatar, saved.model
        if self.gaussians:
            from gagjax import avatars

            avatar = avatars.builtin()
            return avatar, avatar.model
        return None, flame.builtin() if head is None else head
