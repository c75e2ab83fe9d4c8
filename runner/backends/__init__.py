"""Places to start the training process in."""
