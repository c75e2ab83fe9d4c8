"""One file per sub-command, each a list of steps."""
