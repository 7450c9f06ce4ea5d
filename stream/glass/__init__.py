"""From a frame's due time at the camera to the event in a subscriber's hands, measured whole and not summed up."""
