"""`gagjax view`: a track in the browser, before and after, with sliders that re-run the enhancement."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from gagjax.errors import InputError

if TYPE_CHECKING:
    from gagjax.flame.model import FlameModel


@dataclass
class View:
    """View a track in the browser: the animated head, curves before and after, and sliders for the parameters.

    The head is the built-in one, or your FLAME file. A second track, such as a saved result, is compared with the
    first. A video is tracked first, and its track is kept in this folder. The slider settings can be saved as a preset for every command, in one folder. The page is served on this
    machine only and opens only with the printed address, which holds a new random token each time.

    examples:
      gagjax view clip/
      gagjax view noisy.npz steady.npz
      gagjax view film.mp4
      gagjax view clip/ --preset mine.yaml --flame flame2023.pkl
      gagjax view driver.npz --avatar avatar/
    """

    track: tyro.conf.Positional[Path]
    """The track to view."""
    result: tyro.conf.Positional[Path | None] = None
    """A track to show as the result, instead of enhancing with sliders."""
    preset: str = "default"
    """default, live, reference, a scenario, or a preset file."""
    flame: Path | None = None
    """A FLAME file; the built-in head by default."""
    avatar: Path | None = None
    """Show the Gaussians of an avatar: a folder written by `gagjax avatar` or `gagjax fit`."""
    gaussians: bool = False
    """Show the built-in avatar's Gaussians instead of the mesh."""
    fps: str | None = None
    """Frame rate to assume if the file has none; 25 by default."""
    port: int = 8080
    """Port of the page, http://localhost:PORT; the next free one if it is taken."""
    presets: Path = Path("presets")
    """Folder for presets saved from the page, created on first save; the page writes nowhere else."""
    force_retrack: Annotated[bool, tyro.conf.arg(aliases=["-f"])] = False
    """Track a video again even if its track exists in this folder."""
    host: str = "127.0.0.1"
    """Address to listen on: 0.0.0.0 also serves other machines that have the printed address."""

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
        from gagjax.app.viewer.page import Viewer
        from gagjax.app.viewer.session import ViewerSession
        from gagjax.app.workflows.enhance import fitting, in_a_row
        from gagjax.io.tracks import load_track

        if self.presets.exists() and not self.presets.is_dir():
            raise InputError("is no folder", file=self.presets, fix="Name a folder for presets")
        stack = presets.stack_of(self.preset)
        track = load_track(self._tracked(self.track), fps=self.fps)
        after = None if self.result is None else load_track(self._tracked(self.result), fps=self.fps)
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

    def _tracked(self, path: Path) -> Path:
        from gagjax.app.workflows.track import is_film, tracked_first

        if not is_film(path):
            return path
        return tracked_first(path, self.presets, flame=self.flame, again=self.force_retrack)

    def _avatar(self, head: FlameModel | None) -> tuple[Any, Any]:
        """The avatar whose Gaussians to show (None for the mesh), and the head model."""
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
