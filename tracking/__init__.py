"""From detections over time to tracks in metres."""
