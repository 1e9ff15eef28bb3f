"""Smoothing a whole sequence whose noise nobody has measured: outliers, noise and motion are told apart from the data.

The plan, per channel:

1. bridge missing frames (`gaps`), and mark observations far from the median of their five neighbours as outliers;
2. choose the cutoff under which the innovations of a constant-velocity filter are most likely, with the channels of
   one array helping each other where a clip is short (`choice`);
3. run that filter and its smoother over what is left (`passes`);
4. give back short events, such as a blink, that stand out of the noise for two frames or more in a row (`levels`).

Noise levels come from about a thousand frames spread over the clip; all else goes through it in parts, with the state of
the filters handed on. One compiled program holds all parts, or, where a clip is too long for memory, the host walks
through them (`long`).
"""

from gagjax.filters.adaptive.levels import trust
from gagjax.filters.adaptive.smoother import AdaptiveSmoother

__all__ = ["AdaptiveSmoother", "trust"]
