"""Corpora of continuous signing: gloss sentences, and the videos, frames or landmarks in which they are signed."""
