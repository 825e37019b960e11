"""The parts of the job `logs`: `read` cuts lines, `parse` opens them, `count` counts, `show` tells.

docs/logs.md says what it does for its users.
"""
