"""The command line of contentops, with its arguments, output and exit codes."""
