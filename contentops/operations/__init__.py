"""The use cases of the commands, one per file; they connect the command line with the stages."""
