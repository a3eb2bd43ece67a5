"""Start a project: its first files, and the workflows that run it."""
