"""From pictures to a track: face networks, detection and following, correspondences, the fit."""
