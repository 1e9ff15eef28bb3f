"""A start from a distance field fitted to the clip: Gaussians where hair and shoulders are, which the mesh lacks.

Gaussians lie on the person's mesh as in the plain start, and on the parts of the fitted surface that are farther than 6 mm
from the mesh. Those are bound to the nearest triangle and follow it. All have the colours of the fit.

Source: Xu et al., Gaussian Head Avatar, CVPR 2024, geometry-guided initialization; see `sdf.fitting`.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from gagjax.avatars.personal.canonical import attach, spread
from gagjax.avatars.personal.starts.start import Given, Start

FAR = 0.006  # metres from the mesh: what is nearer, the mesh's own Gaussians cover
_WIDTH = 0.65  # of a Gaussian, relative to the square root of its area
MOST = 0.5  # largest share of the Gaussians off the mesh


def begin(given: Given) -> Start:
    """Gaussians on the mesh and on what a fitted distance field adds to it."""
    # Imported here: fitting uses the protocol of starts.
    from gagjax.avatars.personal.sdf import field, fitting

    fitted = fitting.fit(given)
    rest, faces = np.asarray(given.model.v_template, np.float64), np.asarray(given.model.faces)
    dense, at, mesh_area = field.on_mesh(rest, faces, 60_000, given.seed)
    tree = cKDTree(dense)
    points, _, area = field.on_mesh(fitted.vertices, fitted.faces, 20_000, given.seed)
    off = points[tree.query(points)[0] > FAR]
    off_area = area * len(off) / len(points)
    wanted = int(min(given.count * off_area / (off_area + mesh_area), MOST * given.count, len(off)))
    canonical, width = spread(given.model, given.count - wanted)
    triangles, corners = np.asarray(canonical.triangles), np.asarray(canonical.corners, np.float64)
    places = (rest[faces[triangles]] * corners[..., None]).sum(1)
    offset = np.zeros_like(places)
    if wanted:
        off = off[np.linspace(0, len(off) - 1, wanted).round().astype(int)]
        nearest = at[tree.query(off)[1]]
        triangles = np.concatenate([triangles, nearest])
        corners = np.concatenate([corners, np.full((wanted, 3), 1 / 3)])
        offset = np.concatenate([offset, off - rest[faces[nearest]].mean(1)])
        places = np.concatenate([places, off])
        width = np.concatenate([width, np.full(wanted, _WIDTH * np.sqrt(off_area / wanted))])
        canonical = attach(given.model, triangles, corners)
    return Start(canonical, np.asarray(width, np.float32), fitted.colours(places.astype(np.float32)), offset)
