"""The crawler behind `jobs/images.py`: what it fetches, how politely, and what it keeps.

The parts know nothing of queues but the public names of `queue_manager`; `visiting` puts them
together for one address, `indexing` for a whole run.
"""
