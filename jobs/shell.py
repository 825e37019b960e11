"""Commands of the shell, such as `qm shell 'convert {} -resize 200 small/{/}'`: docs/shell.md."""

from queue_manager.shell.job import OPTIONS, tasks, work

__all__ = ["OPTIONS", "tasks", "work"]
