"""The web page of `gagjax view`, built with viser: displays a `ViewerSession` and handles its controls."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import viser
from viser import uplot

from gagjax.app.viewer import film as films
from gagjax.app.viewer import gate
from gagjax.app.viewer.eyes import parts_of
from gagjax.app.viewer.session import ViewerSession, channels_of, curve
from gagjax.errors import InputError

if TYPE_CHECKING:
    from gagjax.avatars.parameters import Parameters
    from gagjax.protocols import Avatar

APART = 0.17  # metres from the centre to each head
# The page stores covariances as half floats, in which square metres would underflow, so the scene is scaled up; the
# floor keeps thin Gaussians from rounding to zero.
FINE, FLOOR = 100.0, 0.002 * np.eye(3)
#: Allowed preset names: no separators, no hidden files, nothing a page could interpret as markup.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}\.ya?ml")
SKIN, STEADY = (190, 170, 160), (120, 170, 215)
GREY, BLUE = "#999999", "#1f77b4"


class Viewer:
    """A page that shows a session.

    Args:
        session: The session to show.
        host: Address to listen on.
        port: Port; the next free one if it is taken.
        avatar: If given, its Gaussians are shown instead of the mesh.
        folder: Folder for saved presets; nothing is written elsewhere.
        film: The frames that were tracked, shown beside the heads.
        over: Whether the track's camera sees these very frames, so that the mesh can be drawn over them.

    Attributes:
        address: URL of the page, including its token.

    Raises:
        InputError: If access to the page cannot be restricted.
    """

    def __init__(
        self,
        session: ViewerSession,
        *,
        host: str = "127.0.0.1",
        port: int = 8080,
        avatar: Any = None,
        folder: str | Path = "presets",
        film: films.Film | None = None,
        over: bool = False,
    ) -> None:
        self.session, self._avatar, self._folder = session, avatar, Path(folder)
        self.frames = len(session.track)
        self._film, self._meshed = film, over
        self._lock = threading.RLock()
        self._server, self.port, self.address = serve(host, port)
        self._heads: dict[str, Any] = {}
        self._parts = parts_of(session.model) if avatar is None else {}
        faces, rest = np.asarray(session.model.faces), np.asarray(session.model.v_template)
        self._wires = films.wires_of(faces, rest) if film is not None else None
        self._plot: Any = None
        self._open = True
        self._scene()
        self._controls()
        self._show()
        self._draw()

    def play(self) -> None:
        """Advance the time slider while the play box is ticked, until `close`."""
        rate = float(self.session.track.fps)
        due = time.perf_counter()
        while self._open:
            due = max(due + 1 / rate, time.perf_counter())
            if self._playing.value:
                self._time.value = (int(self._time.value) + 1) % self.frames
            time.sleep(max(0.001, due - time.perf_counter()))

    def close(self) -> None:
        """Stop the page."""
        self._open = False
        self._server.stop()
        if self._film is not None:
            self._film.close()

    def _scene(self) -> None:
        scene = self._server.scene
        scene.set_up_direction("+y")
        for name, side, text in (("before", 1, "before"), ("after", -1, "after")):
            scene.add_label(f"/label/{name}", text, position=(side * APART, 0.2, 0.0))
        fov, aspect, place = self.session.lens()
        # The head's camera, where it stood before the head: x left, y up, z forward here, OpenCV's axes there.
        turned = (0.0, 0.0, 0.0, 1.0)
        self._camera = scene.add_camera_frustum(
            "/camera", fov, aspect, scale=0.06, color=(90, 90, 90), wxyz=turned, position=place
        )
        scene.add_label("/label/camera", "camera", position=(place[0], place[1] + 0.06, place[2]))

        @self._server.on_client_connect
        def _(client: viser.ClientHandle) -> None:
            client.camera.position = (0.0, 0.03, -0.72)
            client.camera.look_at = (0.0, 0.0, 0.0)
            client.camera.up_direction = (0.0, 1.0, 0.0)

    def _controls(self) -> None:
        gui, track = self._server.gui, self.session.track
        self._time = gui.add_slider("frame", 0, max(self.frames - 1, 1), 1, 0)
        self._playing = gui.add_checkbox("play", False)
        self._time.on_update(lambda _: self._show())
        if self._film is not None:
            with gui.add_folder("film"):
                choices = ("after", "before", "none") if self._meshed else ("none",)
                self._over = gui.add_dropdown("mesh over it", choices, visible=self._meshed)
                self._over.on_update(lambda _: self._show())
                self._shown = gui.add_image(self._pictured(0), format="jpeg")
        self._units = channels_of(track)
        self._channel = gui.add_dropdown("curve", tuple(self._units), initial_value="jaw opening")
        self._channel.on_update(lambda _: self._draw())
        self._curves = gui.add_folder("before and after")
        self._knobs = {}
        if not self.session.knobs:
            return
        with gui.add_folder("enhancement"):
            for path, knob in self.session.knobs.items():
                value = self.session.values[path]
                slider = gui.add_slider(knob.label, knob.low, max(knob.high, value), 0.05, round(value, 2), hint=path)
                slider.on_update(lambda event, path=path: self._turn(path, float(event.target.value)))
                self._knobs[path] = slider
        with gui.add_folder("preset"):
            name = gui.add_text("file", "mine.yaml")
            said = gui.add_markdown("")
            gui.add_button("save").on_click(lambda _: self._save(name.value, said))

    def _turn(self, path: str, value: float) -> None:
        with self._lock:
            self.session.turn(path, value)
            self._draw()
            self._show()

    def _save(self, name: object, said: Any) -> None:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            said.content = "**not saved:** name it like mine.yaml, with letters, digits, - and _"
            return
        path = self._folder / name
        try:
            if path.is_symlink():
                raise InputError("is a link to another place", file=path)
            self.session.save(path)
            said.content = f"saved in the folder that `gagjax view` printed: `{name}`"
        except InputError as error:
            said.content = f"**not saved:** `{name}` {_words(error.problem)}"

    def _show(self) -> None:
        """Show the heads at the frame on the time slider."""
        frame = int(self._time.value)
        with self._lock, self._server.atomic():
            for name, side in (("before", 1), ("after", -1)):
                place = (side * APART, 0.0, 0.0)
                if self._avatar is not None:
                    self._splat(name, frame, place)
                    continue
                mesh = self.session.head(name == "after", frame)
                for part, (chosen, faces, own) in self._parts.items():
                    key = f"{name}/{part}"
                    if key in self._heads:
                        self._heads[key].vertices = mesh[chosen]
                        continue
                    colour = own or (SKIN if name == "before" else STEADY)
                    self._heads[key] = self._server.scene.add_mesh_simple(
                        f"/head/{key}", mesh[chosen], faces, color=colour, side="double", position=place
                    )
            if self._film is not None:
                self._shown.image = self._pictured(frame)

    def _pictured(self, frame: int) -> Any:
        """The film's frame, with the chosen mesh over it."""
        assert self._film is not None
        picture, which = self._film.frame(frame), self._over.value
        if which == "none":
            return picture
        share = self.session.in_picture(which == "after", frame)
        plane = share * [picture.shape[1], picture.shape[0]]
        colour = films.AFTER if which == "after" else films.BEFORE
        assert self._wires is not None
        return films.drawn_over(picture, plane, self._wires, colour)

    def _splat(self, name: str, frame: int, place: tuple[float, float, float]) -> None:
        from gagjax.avatars.avatar import UNITS

        # Light and appearance depend on the camera: make the Gaussians in the head's frame, then transform them.
        gaussians = _gaussians(self._avatar, self.session.parameters(name == "after", frame))
        rotation, shift = self.session.place(name == "after", frame)
        self._heads[name] = self._server.scene.add_gaussian_splats(
            f"/head/{name}",
            centers=FINE * (np.asarray(gaussians.means) / UNITS @ rotation + shift),
            covariances=rotation.T @ (np.asarray(gaussians.covariances) * (FINE / UNITS) ** 2) @ rotation + FLOOR,
            rgbs=np.clip(np.asarray(gaussians.features)[:, :3], 0, 1),
            opacities=np.asarray(gaussians.opacities)[:, None],
            position=place,
            scale=1 / FINE,
        )

    def _draw(self) -> None:
        """Draw the curves of the chosen channel."""
        name = self._channel.value
        seconds = np.arange(self.frames) / float(self.session.track.fps)
        before = np.where(np.asarray(self.session.track.valid), curve(self.session.track, name), np.nan)
        after = curve(self.session.after, name)
        data = (seconds, before.astype(np.float64), after.astype(np.float64))
        if self._plot is not None:
            self._plot.title = f"{name} ({self._units[name]})"
            self._plot.data = data
            return
        with self._curves:
            self._plot = self._server.gui.add_uplot(
                data,
                (
                    uplot.Series(label="s"),
                    uplot.Series(label="before", stroke=GREY, width=1),
                    uplot.Series(label="after", stroke=BLUE, width=2),
                ),
                title=f"{name} ({self._units[name]})",
                scales={"x": uplot.Scale(time=False), "y": uplot.Scale(auto=True)},
                legend=uplot.Legend(show=True),
                aspect=1.4,
            )


class FilmViewer:
    """A page that shows one film, or two side by side.

    Args:
        shown: The films by name.
        host: Address to listen on.
        port: Port; the next free one if it is taken.

    Attributes:
        address: URL of the page, including its token.

    Raises:
        InputError: If access to the page cannot be restricted, or a film has no frame.
    """

    def __init__(self, shown: dict[str, films.Film], *, host: str = "127.0.0.1", port: int = 8080) -> None:
        self._films = shown
        for each in shown.values():
            each.wait()
        self._server, self.port, self.address = serve(host, port)
        self._open = True
        self._planes: dict[str, Any] = {}
        scene, gui = self._server.scene, self._server.gui
        scene.set_up_direction("+y")

        @self._server.on_client_connect
        def _(client: viser.ClientHandle) -> None:
            client.camera.position = (0.0, 0.0, -1.1)
            client.camera.look_at = (0.0, 0.0, 0.0)
            client.camera.up_direction = (0.0, 1.0, 0.0)

        self._time = gui.add_slider("frame", 0, 1, 1, 0)
        self._playing = gui.add_checkbox("play", False)
        self._time.on_update(lambda _: self._show())
        wide = [each.size[0] / each.size[1] for each in shown.values()]
        tall = min(0.5, 1.15 / sum(wide))
        left = 0.5 * tall * sum(wide)
        for (name, each), aspect in zip(shown.items(), wide, strict=True):
            x = left - 0.5 * tall * aspect
            left -= tall * aspect + 0.02
            self._planes[name] = scene.add_image(
                f"/film/{name}",
                each.frame(0),
                tall * aspect,
                tall,
                format="jpeg",
                wxyz=(0.0, 0.0, 0.0, 1.0),
                position=(x, 0.0, 0.0),
            )
            scene.add_label(f"/label/{name}", name, position=(x, 0.5 * tall + 0.04, 0.0))
        self._show()

    def play(self) -> None:
        """Advance the time slider while the play box is ticked, until `close`."""
        rate = next(iter(self._films.values())).fps
        while self._open:
            frames = max(len(each) for each in self._films.values())
            if self._time.max != max(frames - 1, 1):  # more has been read
                self._time.max = max(frames - 1, 1)
            if self._playing.value:
                self._time.value = (int(self._time.value) + 1) % frames
            time.sleep(1 / rate)

    def close(self) -> None:
        """Stop the page."""
        self._open = False
        self._server.stop()
        for each in self._films.values():
            each.close()

    def _show(self) -> None:
        with self._server.atomic():
            for name, each in self._films.items():
                self._planes[name].image = each.frame(int(self._time.value))


def serve(host: str, port: int) -> tuple[Any, int, str]:
    """Start viser behind a gate: the server, its port, and its address with the token.

    Args:
        host: Address to listen on.
        port: Port; the next free one if it is taken.

    Raises:
        InputError: If access to the page cannot be restricted.
    """
    door = gate.Gate((host,))
    with gate.guarded(door):
        server: Any = viser.ViserServer(host=host, port=port, label="gagjax", verbose=False)
    found = server.get_port()
    try:
        gate.check(host, found)
    except InputError:
        server.stop()
        raise
    name = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::", "::1") else host
    return server, found, f"http://{name}:{found}/?token={door.token}"


def _words(text: str) -> str:
    """Remove characters that a page could interpret as markup."""
    return re.sub(r"[^\w ,.;:()/-]", "", text)


@jax.jit
def _gaussians(avatar: Avatar, parameters: Parameters) -> Any:
    return avatar.gaussians(parameters)
