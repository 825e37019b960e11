"""Tasks of a Django project, enqueued through `queue_manager.django`: see docs/django.md."""

from queue_manager.django.job import OPTIONS, setup, work

__all__ = ["OPTIONS", "setup", "work"]
