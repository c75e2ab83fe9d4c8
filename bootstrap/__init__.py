"""From a clone to a working `.venv`: chooses a lock, installs it by hash, keeps it whole."""
