"""MediaPipe's body and hand networks on our engines: the networks, their regions of interest, their smoothing."""
