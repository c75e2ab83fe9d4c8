"""The Docker engine, and the image that a run trains in."""
