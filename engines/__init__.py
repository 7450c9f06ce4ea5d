"""Perception: pixels to landmarks, features and embeddings, and the runtimes that execute networks."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# ONNX Runtime would tell Microsoft about the networks and leave a file; it looks at this when it is imported.
