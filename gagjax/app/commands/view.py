"""`gagjax view`: a track or a film in the browser, before and after, with sliders that re-run the enhancement."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from gagjax.errors import InputError

if TYPE_CHECKING:
    from gagjax.app.viewer.page import FilmViewer, Viewer
    from gagjax.flame.model import FlameModel


@dataclass
class View:
    """View a track or a film in the browser: the animated head, curves before and after, and sliders for the parameters.

    The head is the built-in one, or your FLAME file. A second track, such as a saved result, is compared with the
    first. A film is tracked first (the track is kept in this folder) and its frames are shown with the mesh over them, as
    are those of a GAGAvatar folder, and with --film those of the film from which an .npz was tracked. Two films, or one
    with --plain, are shown as they are, side by side. The slider settings can be saved as a preset for every command, in
    one folder. The page is served on this
    machine only and opens only with the printed address, which holds a new random token each time.

    examples:
      gagjax view clip/
      gagjax view noisy.npz steady.npz
      gagjax view film.mp4
      gagjax view film.npz --film film.mp4
      gagjax view before.mp4 after.mp4
      gagjax view clip/ --preset mine.yaml --flame flame2023.pkl
      gagjax view driver.npz --avatar avatar/
    """

    track: tyro.conf.Positional[Path]
    """The track or film to view."""
    result: tyro.conf.Positional[Path | None] = None
    """A track to show as the result, instead of enhancing with sliders; or a film beside the first."""
    film: Path | None = None
    """The film of the track, to show its frames with the mesh over them."""
    plain: bool = False
    """Show a film as it is, without tracking it."""
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
        print("starting the viewer", flush=True)
        from gagjax.app.workflows.track import is_film

        if is_film(self.track) and (self.plain or is_film(self.result)):
            return self._films()
        if self.plain:
            raise InputError("shows films", field="--plain", fix="Leave it out for a track")
        from gagjax import flame
        from gagjax.app import presets
        from gagjax.app.viewer.film import Film, sees
        from gagjax.app.viewer.page import Viewer
        from gagjax.app.viewer.session import ViewerSession
        from gagjax.app.waiting import waiting
        from gagjax.app.workflows.enhance import fitting, in_a_row
        from gagjax.io.tracks import load_track

        if self.presets.exists() and not self.presets.is_dir():
            raise InputError("is no folder", file=self.presets, fix="Name a folder for presets")
        stack = presets.stack_of(self.preset)
        source = self._tracked(self.track)
        shown = self.film if self.film is not None or not is_film(self.track) else self.track
        track = load_track(source, fps=self.fps)
        after = None if self.result is None else load_track(self._tracked(self.result), fps=self.fps)
        track = in_a_row(track)
        after = None if after is None else after.one_after_another()
        head = None if self.flame is None else flame.load(self.flame)
        avatar, model = self._avatar(head)
        stack, said = fitting(stack, track)
        for line in said:
            print(line)
        with waiting(f"enhancing {len(track)} frames; the first clip of a length compiles a program"):
            session = ViewerSession(track, stack, model, preset=self.preset, after=after)
        if shown is None:
            film = Film.of_track(self.track, track.names, float(track.fps))
            over = film is not None  # the pictures are what the track's camera sees
        else:
            film = Film.of(shown)
            over = sees(track, film.size)
            if not over:
                print(f"{shown}: shown without the mesh, since {source} does not hold the camera that filmed it")
        if film is not None:
            film.wait()
        page = Viewer(
            session,
            host=self.host,
            port=self.port,
            avatar=avatar,
            folder=self.presets,
            film=film,
            over=over,
        )
        print(f"{page.address} shows {self.track}; presets go to {self.presets}; Ctrl-C ends it", flush=True)
        return _served(page)

    def _films(self) -> int:
        from gagjax.app.viewer.film import Film
        from gagjax.app.viewer.page import FilmViewer

        paths = [path for path in (self.track, self.result) if path is not None]
        names = [path.name for path in paths]
        names = names if len(set(names)) == len(names) else [str(path) for path in paths]
        films = {name: Film.of(path) for name, path in zip(names, paths, strict=True)}
        page = FilmViewer(films, host=self.host, port=self.port)
        print(f"{page.address} shows {', '.join(names)}; Ctrl-C ends it", flush=True)
        return _served(page)

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


def _served(page: Viewer | FilmViewer) -> int:
    """Show a page until the user ends it."""
    try:
        page.play()
    except KeyboardInterrupt:
        return 0
    finally:
        page.close()
    return 0
