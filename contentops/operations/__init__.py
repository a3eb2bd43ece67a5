"""One use case a file: what each command does, between the command line and the stages."""
