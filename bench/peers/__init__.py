"""Other queues on the same work, in the same run and in turns: `python -m bench.peers [NAME ...]`.

Each peer's packages are in an environment of its own, made from its lock in locks/. A module in
alone/ or brokered/ is a peer's program: it runs in that environment and imports nothing of ours
but `work`. The rest of this room runs in ours and never imports a peer.
"""
