"""The page of `gagjax app`, built with gradio: drop files, choose, run, compare, download."""

from __future__ import annotations

import html
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gagjax.app.viewer.gate import Gate
from gagjax.app.web import plan as planning
from gagjax.app.web.guard import Guard
from gagjax.app.web.running import Cancelled, Failed, Running, Update
from gagjax.errors import InputError

# Read when gradio and fastapi are imported: no usage figures, no hub, no traces to a collector.
_QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
}
ENHANCEMENTS = ("temporal", "expression", "gaze", "detail")
LOG = 400  # lines of the log that are shown
STYLE = """
footer {display: none !important}
.gagjax-state {min-height: 4.2em; font-size: 1.05em}
.gagjax-state progress {width: 100%; height: 1.1em}
.gagjax-log textarea {font-family: ui-monospace, monospace; font-size: 0.82em; white-space: pre; overflow-x: auto}
"""


class AppPage:
    """The page, served until `close`.

    Args:
        outputs: Folder of the results; each run gets a numbered folder in it.
        host: Address to listen on.
        port: Port; the next free one if it is taken.
        checkpoint: `GAGAvatar.pt`, or None for an avatar without a network.
        flame: A FLAME file, for `checkpoint`.
        fps: Frame rate to assume where a track has none.

    Attributes:
        address: URL of the page, including its token.
        port: The port that it has.
    """

    def __init__(
        self,
        outputs: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 7860,
        checkpoint: Path | None = None,
        flame: Path | None = None,
        fps: str | None = None,
    ) -> None:
        os.environ |= _QUIET
        self.outputs, self._checkpoint, self._flame, self._fps = outputs.resolve(), checkpoint, flame, fps
        self._uploads = tempfile.TemporaryDirectory(prefix="gagjax-app-")
        os.environ["GRADIO_TEMP_DIR"] = self._uploads.name
        self._running: Running | None = None
        self._shown: dict[str, str] = {}
        self._sliders = {name: planning.sliders_of(name) for name in planning.PRESETS}
        self.gate = Gate((host,))
        self._socket = _listen(host, port)
        self.port = self._socket.getsockname()[1]
        name = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::", "::1") else host
        self.address = f"http://{name}:{self.port}/?token={self.gate.token}"
        self._server = self._made()
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="gagjax-app", daemon=True
        )
        self._thread.start()

    def wait(self) -> None:
        """Serve until the server ends."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def close(self) -> None:
        """Cancel what runs, stop the page, and remove what was dropped on it."""
        if self._running is not None:
            self._running.cancel()
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()
        self._uploads.cleanup()

    def _made(self) -> Any:
        import fastapi
        import gradio
        import uvicorn

        theme = gradio.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
        application = gradio.mount_gradio_app(
            fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
            self._blocks(),
            path="/",
            allowed_paths=[str(self.outputs)],
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            enable_monitoring=False,
            pwa=False,
            mcp_server=False,
            show_error=False,
            theme=theme,
            css=STYLE,
        )
        options = uvicorn.Config(
            Guard(application, self.gate),
            log_level="error",
            timeout_graceful_shutdown=1,
            ws="none",
            server_header=False,
            proxy_headers=False,
        )
        return uvicorn.Server(options)

    def _blocks(self) -> Any:
        import gradio as gr

        own = self._sliders["default"]
        with gr.Blocks(title="gagjax", analytics_enabled=False, fill_width=True) as blocks:
            gr.Markdown("## gagjax\nDrop a photo and a film, or a track. Everything stays on this machine.")
            with gr.Row():
                with gr.Column(scale=1, min_width=330):
                    photo = gr.Image(
                        type="filepath",
                        image_mode=None,
                        sources=["upload"],
                        label="photo (none: the built-in avatar)",
                        height=220,
                        elem_id="photo",
                    )
                    drivers = gr.File(
                        file_count="multiple",
                        type="filepath",
                        label="films or tracks that drive it",
                        height=130,
                        elem_id="drivers",
                    )
                    preset = gr.Dropdown(list(planning.PRESETS), value="default", label="preset", elem_id="preset")
                    enable = gr.CheckboxGroup(
                        list(ENHANCEMENTS),
                        value=list(planning.enhancements_of("default")),
                        label="enhancements",
                        elem_id="enable",
                    )
                    with gr.Accordion("sliders", open=False):
                        sliders = [
                            gr.Slider(
                                knob.low,
                                knob.high,
                                own.get(path, 1.0),
                                step=0.05,
                                label=knob.label,
                                visible=path in own,
                            )
                            for path, knob in planning.SLIDERS.items()
                        ]
                        mine = gr.File(
                            file_types=[".yaml", ".yml"], type="filepath", label="or a preset file", height=90
                        )
                    with gr.Row():
                        size = gr.Dropdown([256, 512, 768, 1024], value=512, label="pixels", elem_id="size")
                        compare = gr.Checkbox(True, label="before | after", elem_id="compare")
                    with gr.Row():
                        start = gr.Button("run", variant="primary", elem_id="run")
                        stop = gr.Button("cancel", interactive=False, elem_id="cancel")
                with gr.Column(scale=2, min_width=480):
                    state = gr.HTML(_state("ready", None), elem_id="state", elem_classes="gagjax-state")
                    which = gr.Dropdown([], label="driver", visible=False, elem_id="which")
                    shown = gr.Video(
                        label="before | after",
                        show_label=False,
                        interactive=False,
                        elem_id="shown",
                        autoplay=True,
                        loop=True,
                    )
                    files = gr.File(
                        label="downloads: video, track, preset",
                        file_count="multiple",
                        interactive=False,
                        elem_id="files",
                    )
                    log = gr.Textbox(
                        label="what ran", lines=12, max_lines=12, interactive=False, elem_classes="gagjax-log"
                    )
            preset.change(self._preset_chosen, preset, [enable, *sliders], show_progress="hidden")
            start.click(
                self._run,
                [photo, drivers, preset, enable, mine, size, compare, *sliders],
                [state, log, shown, which, files, start, stop],
                show_progress="hidden",
                concurrency_limit=1,
            )
            stop.click(self._cancel, None, None, queue=False)
            which.input(lambda name: self._shown.get(name), which, shown, show_progress="hidden")
        return blocks

    def _preset_chosen(self, preset: str) -> list[Any]:
        import gradio as gr

        own = self._sliders[preset]
        moved = [gr.update(visible=path in own, value=own.get(path, 1.0)) for path in planning.SLIDERS]
        return [gr.update(value=list(planning.enhancements_of(preset))), *moved]

    def _cancel(self) -> None:
        if self._running is not None:
            self._running.cancel()

    def _run(
        self,
        photo: str | None,
        drivers: list[str] | None,
        preset: str,
        enable: list[str],
        mine: str | None,
        size: int,
        compare: bool,
        *values: float,
    ) -> Iterator[Any]:
        """Everything that the run button does; what it yields are the page's new contents."""
        import gradio as gr

        def page(
            state: str, lines: list[str], changes: dict[str, object] | None = None, busy: bool = True
        ) -> list[Any]:
            changes = changes or {}
            kept = [changes.get(name, gr.skip()) for name in ("shown", "which", "files")]
            text = "\n".join(lines[-LOG:])
            return [state, text, *kept, gr.update(interactive=not busy), gr.update(interactive=busy)]

        lines: list[str] = []
        try:
            choices = planning.Choices(
                drivers=tuple(Path(each) for each in drivers or ()),
                photo=None if photo is None else Path(photo),
                preset=preset,
                enable=tuple(name for name in ENHANCEMENTS if name in enable),
                values=dict(zip(planning.SLIDERS, values, strict=True)),
                file=None if mine is None else Path(mine),
                size=int(size),
                compare=compare,
            )
            plan = planning.plan(choices, self.outputs, checkpoint=self._checkpoint, flame=self._flame, fps=self._fps)
            self._shown = {}
            self._running = running = Running(plan)
            clear = gr.update(choices=[], value=None, visible=False)
            yield page(_state("starting", 0.0), lines, {"shown": None, "which": clear, "files": None})
            for update in running:
                if update.line:
                    lines.append(update.line)
                yield page(_progress(update, len(plan.steps)), lines, self._ready(plan, update))
        except Cancelled:
            yield page(_state("cancelled; finished files stay", None), lines, busy=False)
        except (Failed, InputError) as error:
            yield page(_state(str(error), None, wrong=True), lines, busy=False)
        else:
            yield page(_state(f"done: everything is in {plan.folder}", 1.0), lines, busy=False)
        finally:
            self._running = None

    def _ready(self, plan: planning.Plan, update: Update) -> dict[str, Any]:
        """What the page shows of the drivers that have become ready with an update."""
        import gradio as gr

        made = plan.steps[update.step].makes
        ready = [each for each in plan.results if each.shown.exists() and (each.track is None or each.track.exists())]
        if update.share != 1.0 or not any(made in (each.shown, each.track) for each in ready):
            return {}
        self._shown = {each.name: str(each.shown) for each in ready}
        files = [each for result in ready for each in (result.video, result.shown, result.track) if each is not None]
        last = ready[-1].name
        return {
            "shown": self._shown[last],
            "which": gr.update(choices=list(self._shown), value=last, visible=len(plan.results) > 1),
            "files": [str(each) for each in dict.fromkeys([*files, plan.preset])],
        }


def _progress(update: Update, steps: int) -> str:
    done = (update.step + (update.share or 0.0)) / steps
    return _state(f"{update.step + 1} of {steps}, {update.label}: {update.what}", done)


def _state(text: str, share: float | None, *, wrong: bool = False) -> str:
    """The line that says what happens, with its bar; the text comes from files and is escaped."""
    bar = "" if share is None else f'<progress max="1" value="{share:.4f}"></progress>'
    colour = ' style="color: #b3261e"' if wrong else ""
    return f"<div{colour}>{html.escape(text)}</div>{bar}"


def _listen(host: str, port: int) -> socket.socket:
    """A socket on the first free port from `port` on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for each in range(port, min(port + 100, 65536)):
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, each))
        except OSError as error:
            found.close()
            problem = error
            continue
        return found
    raise InputError(f"cannot be listened on: {problem}", field="--host and --port", fix="Choose others")
