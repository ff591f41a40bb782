"""Measurements against truth: detection, tracking, distance, lanes."""
