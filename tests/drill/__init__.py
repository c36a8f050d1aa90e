"""The fault drill: what a run does when a machine, a server, a disk or a clock fails. Run as `python -m tests.drill`."""
