"""The programs that run while an image is built."""
