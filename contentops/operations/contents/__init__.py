"""What is stored on the project's server."""
