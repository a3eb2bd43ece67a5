"""The texts of items: found, compared, put back, and remembered as checked."""
