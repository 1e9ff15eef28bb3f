"""The plain start: grey Gaussians evenly over the person's mesh."""

from __future__ import annotations

from gagjax.avatars.personal.canonical import spread
from gagjax.avatars.personal.starts.start import Given, Start


def begin(given: Given) -> Start:
    """Grey Gaussians on the mesh, denser around facial features."""
    canonical, width = spread(given.model, given.count)
    return Start(canonical, width)
