"""Runs exactly the steps that a plan lists, records each step, and reports what happened.

Read it in this order: `run` begins and ends a run, and lets an item wait for the texts that it is made from. `program`
carries out the steps of one item. `job` orders and fetches a text. `write` writes the text into a file, and `save`
stores it on the server. `records` has what they record, and `primitives` the values that they pass to each other.
`durable_run` is the only way to wait, send and record; `limiter` says when a request may be sent. `run_context` is what
all items share. `contents` and `content_search` know who owns each stored content, and `commands` runs the programs of
checks.
"""
