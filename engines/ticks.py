"""The canonical clock's constants: every encoder sees ticks, never camera frames."""

TICK_HZ = 25
TICK_S = 1 / TICK_HZ
WINDOW_TICKS = 16
"""Length of the window that the networks take; windows of other lengths are resampled to it."""
