"""The detector's training: model, assignment, losses, data, export, quantisation (torch)."""
