"""Many cameras: the rig, how it is read, and what is fitted of it."""
