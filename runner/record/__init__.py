"""What a run leaves behind: names, manifest, journal, checkpoints, tracking."""
