"""Results back into git: which files are results, one commit of them, pushed on top of what the remote has."""
