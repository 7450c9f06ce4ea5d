"""Pose estimators: an RGB image to landmarks."""
