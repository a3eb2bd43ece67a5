"""The tests: one module per module of the package, and some for the whole."""
