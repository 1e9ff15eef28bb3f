"""Gaze: closed-form look-at, correction of tracks, angles and errors, masks around the eyes."""

from gagjax.gaze.correct import GazeCorrector, Lids, LiveGazeCorrector, default_stage, live_stage
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
    rotation_to_direction,
    rotation_towards,
    vergence,
)
from gagjax.gaze.masks import DEFAULT_CENTRES, SIGMA, centres_from_landmarks, eye_mask

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
    "eth_xgaze_label",
    "eye_mask",
    "gaze_from_eth_xgaze",
    "live_stage",
    "look_along",
    "look_at",
    "pitch_yaw",
    "rotation_to_direction",
    "rotation_towards",
    "vergence",
]
