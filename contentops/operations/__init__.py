"""Has one use case of the commands in each file, for the command line, the review pages and agents."""
