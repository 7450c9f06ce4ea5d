"""Sub-commands that make and measure artefacts; `run_stream` finds them by name."""
