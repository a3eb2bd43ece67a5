"""The planner: it compares manifest, record, file and stored content of each item, and decides what to do.

Pure; writes and sends nothing. Read it in this order: `sides` has what is compared, as files and servers have it:
records keep the ids that the lock has, and `PlanInputs.records` is the column with those of today. `table` answers for
one item, with `edits`, `sources` and `promote` for what a person, another item or another environment changed.
`front_matter` and `approval` are the third question. `guards` refuses a plan, `plan` makes that of all items, with
`select`. `review` compares it with what was confirmed.
"""
