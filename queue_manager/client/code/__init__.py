"""Functions on their way to workers: `pack` makes the files that travel.

`call_payload` makes the payload of one call for a function that was packed with `call="call"`.
"""

from .calls import call_payload, name_of
from .entry import Call
from .fingerprint import fingerprint
from .pack import Packed, pack

__all__ = ["Call", "Packed", "call_payload", "fingerprint", "name_of", "pack"]
