"""MediaPipe's numbering of face points, and how it corresponds to iBUG's 68.

The mesh network gives 478 points: 468 of a face mesh, then the irises, subject's right (468, ring 469-472) and left (473,
ring 474-477). Subject's right is the picture's left.
"""

from __future__ import annotations

import numpy as np

COUNT = 478
MESH = 468
RIGHT_PUPIL, LEFT_PUPIL = 468, 473
#: The points that the fit uses, in order: the mesh and the two pupils.
USED = np.r_[0:MESH, RIGHT_PUPIL, LEFT_PUPIL]

#: MediaPipe's point of each of the 68 iBUG landmarks. The jaw line (0-16) corresponds only roughly.
IBUG = np.array(
    [127, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 356]  # jaw line
    + [70, 63, 105, 66, 107, 336, 296, 334, 293, 300]  # brows
    + [168, 197, 5, 4, 75, 97, 2, 326, 305]  # nose
    + [33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380]  # eyes
    + [61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181]  # outer lips
    + [78, 82, 13, 312, 308, 317, 14, 87]  # inner lips
)
UPPER_LIP = np.array(
    [191, 80, 81, 82, 13, 312, 311, 310, 415, 185, 40, 39, 37, 0, 267, 269, 270, 409]
    + [184, 74, 73, 72, 11, 302, 303, 304, 408, 183, 42, 41, 38, 12, 268, 271, 272, 407]
)
LOWER_LIP = np.array(
    [95, 88, 178, 87, 14, 317, 402, 318, 324, 146, 91, 181, 84, 17, 314, 405, 321, 375]
    + [77, 90, 180, 85, 16, 315, 404, 320, 307, 96, 89, 179, 86, 15, 316, 403, 319, 325]
)
#: The points for which FLAME's authors publish an embedding (`lmk_embeddings_mediapipe`), in its order.
EMBEDDED = np.array(
    [276, 282, 283, 285, 293, 295, 296, 300, 334, 336, 46, 52, 53, 55, 63, 65, 66, 70, 105, 107]  # brows
    + [249, 263, 362, 373, 374, 380, 381, 382, 384, 385, 386, 387, 388, 390, 398, 466]  # left eye
    + [7, 33, 133, 144, 145, 153, 154, 155, 157, 158, 159, 160, 161, 163, 173, 246]  # right eye
    + [168, 6, 197, 195, 5, 4, 129, 98, 97, 2, 326, 327, 358]  # nose
    + [0, 13, 14, 17, 37, 39, 40, 61, 78, 80, 81, 82, 84, 87, 88, 91, 95, 146, 178, 181, 185, 191]  # lips
    + [267, 269, 270, 291, 308, 310, 311, 312, 314, 317, 318, 321, 324, 375, 402, 405, 409, 415]
)
OVAL = np.array(
    [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149]
    + [150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
)
CHIN = np.array([152, 148, 377, 176, 400])
#: Points that move little with the expression: where the head is.
RIGID = np.array([33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 129, 358, 127, 356, 234, 454, 10, 151, 9, 8])
#: Per eye (subject's right, then left): outer corner, inner corner, upper lid, lower lid.
LIDS = np.array([[33, 133, 159, 145], [263, 362, 386, 374]])
#: Per eye: pairs of an upper and a lower lid point.
LID_PAIRS = np.array([[[160, 144], [159, 145], [158, 153]], [[387, 373], [386, 374], [385, 380]]])


def lid_opening(points: np.ndarray) -> np.ndarray:
    """Eye aspect ratio of both eyes: lid distance over eye width; near 0.3 open, 0.05 closed.

    Args:
        points: Landmarks, (..., 478, 2 or 3), any unit.

    Returns:
        (..., 2): subject's right eye, left eye.
    """
    plane = np.asarray(points)[..., :2]
    pairs = plane[..., LID_PAIRS, :]
    height = np.linalg.norm(pairs[..., 0, :] - pairs[..., 1, :], axis=-1).mean(-1)
    width = np.linalg.norm(plane[..., LIDS[:, 0], :] - plane[..., LIDS[:, 1], :], axis=-1)
    return height / np.maximum(width, 1e-6)


def interocular(points: np.ndarray) -> np.ndarray | np.floating:
    """Distance between the pupils, in the points' unit, (...,)."""
    plane = np.asarray(points)[..., :2]
    return np.linalg.norm(plane[..., RIGHT_PUPIL, :] - plane[..., LEFT_PUPIL, :], axis=-1)
