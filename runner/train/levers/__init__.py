"""Levers on the time of a step: each computes what the plain path computes, within rounding."""
