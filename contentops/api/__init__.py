"""The HTTP client of the WriterzRoom API. It sends a call and returns a reply or a failure."""
