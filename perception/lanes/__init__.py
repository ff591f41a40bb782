"""Lane boundaries in metres."""
