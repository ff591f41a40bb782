"""From pixels to detections and lanes."""
