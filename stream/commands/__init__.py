"""Sub-commands of the live side; `run_stream` finds them by name."""
