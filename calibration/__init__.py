"""Makes the artefacts that the live path loads: weights, galleries, thresholds. Trains, adapts, evaluates."""
