"""Pure mathematics of the road scene: cameras, ground, boxes. Frames, units and signs: see README.md here."""
