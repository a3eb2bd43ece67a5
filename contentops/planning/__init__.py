"""The planner: desired x recorded x observed -> the steps that remain. Pure; writes and sends nothing."""
