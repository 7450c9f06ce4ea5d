"""Network definitions in PyTorch; imported for training and export, never by the live path."""
