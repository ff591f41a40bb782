"""The embedded models, with their model card."""
