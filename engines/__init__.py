"""Perception: pixels to landmarks, features and embeddings, and the runtimes that execute networks."""
