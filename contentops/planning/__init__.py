"""Compares the manifest, record, file and stored content of each item, and decides what to do.

The planner is pure: it writes and sends nothing. Read it in this order. `sides` defines the data that is compared.
State records keep the ids of the lock; `PlanInputs.records` has them by present id. `table` decides about one item,
with `edits`, `sources` and `promote` for changes by a person, another item or another environment. `front_matter` and
`approval` decide the third question. `plan` makes the plan of all items, with `select`, and `guards` may refuse it.
`review` compares it with what a person confirmed.
"""
