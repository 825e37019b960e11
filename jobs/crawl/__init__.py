"""The crawler behind `jobs/images.py`: what it fetches, how politely, and what it keeps.

The crawler knows nothing of queues but the public names of `queue_manager`. `visit` is about one
address, `keep.indexing` about a whole run.
"""
