"""Device memory of a run, by component, from architecture and settings; arithmetic alone."""
