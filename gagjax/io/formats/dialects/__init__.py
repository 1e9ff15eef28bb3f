"""Motion of other trackers and networks that is read, not written: each module says what its files hold.

All conventions side by side are in the documentation, "Conventions of other trackers".
"""
