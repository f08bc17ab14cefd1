"""Measures of generated data, and the networks whose features they compare."""
