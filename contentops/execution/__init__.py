"""The executor: runs exactly the steps a plan lists, records after each, and reports what happened."""
