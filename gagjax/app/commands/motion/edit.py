"""`gagjax edit`: change parts of a clip by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from gagjax.errors import InputError


@dataclass
class Edit:
    """Change a clip by hand: make a region calmer or livelier, add an expression, turn an eye, close half-open blinks.

    --set NAME=VALUE, as often as you like. What can be set:

      a region   a gain on how far it moves from the neutral face; 1 changes nothing, 0 holds it still. The built-in
                 head has lids, brows, forehead, nose, mouth, cheeks, jaw, neck, scalp, eyes, ears; a FLAME file has its
                 own masks. "expression" is the whole face
      a slider   an amount that is added: blink, blink_left, blink_right, expression_12 (a column); on the built-in head
                 also smile, brow_up, pucker and so on (a wrong name lists them all)
      a turn     an angle that is added: left_eye_yaw, left_eye_pitch, right_eye_yaw, right_eye_pitch, eyes_yaw,
                 eyes_pitch, jaw_open; 4deg or .07rad; up and to the subject's left are positive

    --between says when, for all of them; NAME=VALUE@2s:5s for one alone. Outside, nothing changes.

    A .glb or a folder of .obj holds regions exactly, since they are sets of vertices. A track file holds coefficients, the
    nearest that these can say; the command prints how far off they are, in millimetres.

    examples:
      gagjax edit clip.npz -o calm.npz --set mouth=.6 --set left_eye_yaw=4deg --between 2s 5s --ease .3
      gagjax edit clip/ -o edited/ --set smile=.4@1s:3s --set brows=1.5
      gagjax edit clip/ -o blinks.npz --repair-blinks
      gagjax edit clip/ -o edited.glb --set mouth=0 --flame FLAME_with_eye.pt
    """

    track: tyro.conf.Positional[Path]
    """The track."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Output: .npz, .pkl or a folder (a track); .glb, or a folder with --meshes (meshes, exact)."""
    set: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """One setting, NAME=VALUE or NAME=VALUE@FROM:TO; may be given again."""
    between: tuple[str, str] | None = None
    """When the settings are in effect: seconds (2, 2s, 1500ms) or frames from 0 (50f)."""
    ease: float = 0.0
    """Seconds over which each setting comes and goes, inside its span."""
    repair_blinks: bool = False
    """Close blinks that stay half open; winks stay winks."""
    meshes: bool = False
    """Write a folder of .obj, one a frame, instead of a track."""
    flame: Path | None = None
    """The FLAME file of the track; the built-in head by default."""
    fps: str | None = None
    """Frame rate to assume if the file has none; 25 by default."""
    fill_gaps: bool = False
    """Also write frames that the tracker lost."""
    force: bool = False
    """Replace an existing output."""

    def run(self) -> int:
        if not self.set and not self.repair_blinks:
            raise InputError("nothing is to be changed", field="--set", fix="Pass --set NAME=VALUE, or --repair-blinks")
        if not 0 <= self.ease <= 60:
            raise InputError(f"is {self.ease:g}", field="--ease", fix="Use 0 to 60 seconds")
        from gagjax.app.workflows.motion import edit

        for line in edit.run(self):
            print(line)
        return 0
