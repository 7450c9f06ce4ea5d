"""Where frames come from: webcam, RTSP, file, demo, and whatever else FFmpeg opens."""
