"""Live and causal: frames in, events out. Knows no training."""
