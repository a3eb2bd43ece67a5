"""The HTTP client of the WriterzRoom API: sends a call, returns a reply or a failure."""
