"""Camera profiles: one TOML file per camera. Loading them is the one thing geometry does with files."""
