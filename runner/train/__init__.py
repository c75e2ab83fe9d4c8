"""The training process, the only importer of torch; started as `python -m runner.train RUN_DIR`."""
