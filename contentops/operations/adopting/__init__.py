"""Make items of existing files and of texts stored on the server."""
