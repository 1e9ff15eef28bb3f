"""Gaze: closed-form look-at, track correction, angles and errors, eye masks."""

from typing import TYPE_CHECKING

from gagjax.process import deferred

if TYPE_CHECKING:
    from gagjax.gaze.correct import GazeCorrector, Lids, LiveGazeCorrector, default_stage, live_stage
    from gagjax.gaze.estimate import (
        eyes_estimated,
        gaze_of,
        pupil_offsets,
        rotations_from_landmarks,
        rotations_from_pupils,
    )
    from gagjax.gaze.geometry import (
        angle_between,
        angular_error,
        camera_centre,
        camera_to_world,
        direction_from_pitch_yaw,
        direction_of,
        eth_xgaze_label,
        gaze_from_eth_xgaze,
        look_along,
        look_at,
        pitch_yaw,
        project,
        rotation_to_direction,
        rotation_towards,
        vergence,
    )
    from gagjax.gaze.masks import DEFAULT_CENTRES, SIGMA, centres_from_landmarks, eye_mask
    from gagjax.gaze.overlay import draw_gaze
    from gagjax.gaze.projected import eye_centres_in_image, projected_eye_masks, track_eye_masks, visibility
else:
    __getattr__, __dir__ = deferred.names(
        __name__,
        {
            "correct": ("GazeCorrector", "Lids", "LiveGazeCorrector", "default_stage", "live_stage"),
            "estimate": (
                "eyes_estimated",
                "gaze_of",
                "pupil_offsets",
                "rotations_from_landmarks",
                "rotations_from_pupils",
            ),
            "geometry": (
                "angle_between",
                "angular_error",
                "camera_centre",
                "camera_to_world",
                "direction_from_pitch_yaw",
                "direction_of",
                "eth_xgaze_label",
                "gaze_from_eth_xgaze",
                "look_along",
                "look_at",
                "pitch_yaw",
                "project",
                "rotation_to_direction",
                "rotation_towards",
                "vergence",
            ),
            "masks": ("DEFAULT_CENTRES", "SIGMA", "centres_from_landmarks", "eye_mask"),
            "overlay": ("draw_gaze",),
            "projected": ("eye_centres_in_image", "projected_eye_masks", "track_eye_masks", "visibility"),
        },
    )

__all__ = [
    "DEFAULT_CENTRES",
    "SIGMA",
    "GazeCorrector",
    "Lids",
    "LiveGazeCorrector",
    "angle_between",
    "angular_error",
    "camera_centre",
    "camera_to_world",
    "centres_from_landmarks",
    "default_stage",
    "direction_from_pitch_yaw",
    "direction_of",
    "draw_gaze",
    "eth_xgaze_label",
    "eye_centres_in_image",
    "eye_mask",
    "eyes_estimated",
    "gaze_from_eth_xgaze",
    "gaze_of",
    "live_stage",
    "look_along",
    "look_at",
    "pitch_yaw",
    "project",
    "projected_eye_masks",
    "pupil_offsets",
    "rotation_to_direction",
    "rotation_towards",
    "rotations_from_landmarks",
    "rotations_from_pupils",
    "track_eye_masks",
    "vergence",
    "visibility",
]
