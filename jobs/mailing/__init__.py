"""What is behind `jobs/mail.py`: messages made, signed and handed to mail servers, each one once.

It knows nothing of queues but the public names of `queue_manager`. `sending` is about one message,
`ledger` keeps what was begun and sent, `reporting` is about a whole campaign.
"""
