"""Rows to text to tokens and a loss mask, proved; no torch."""
