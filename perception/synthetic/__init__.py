"""Rendered road scenes whose truth is known exactly."""
