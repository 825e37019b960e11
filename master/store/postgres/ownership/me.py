"""What a master says of itself in the schema, and the names that its connections have there."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field

from ...relational.statements import read
from ..address import Address
from ..link.connection import Connection, connect, session_name

SQL = read(__package__)

PATIENCE_S = 1.5
"""How long a statement of the ownership may take: all are short. A lease is twice as long."""


def mark_of(authkey: bytes, address: Address) -> str:
    """What tells an authkey from another one. A guess at the key takes 50 ms, as at a handshake."""
    salt = f"quartermaster:{address.schema}".encode()
    return hashlib.scrypt(authkey, salt=salt, n=2**14, r=8, p=1, dklen=4).hex()


@dataclass(frozen=True)
class Me:
    """A master, and the schema that it wants to own.

    Attributes:
        address: the server and the schema.
        name, told: MASTER_NAME, and MASTER_ADDRESS, which may be empty.
        version: of this program.
        instance: tells this process from others of the same name.
        key_mark: tells its authkey from another one; empty: nobody says which it has.
    """

    address: Address
    name: str
    told: str
    version: str
    instance: str = field(default_factory=lambda: secrets.token_hex(8))
    key_mark: str = ""

    @property
    def lock(self) -> int:
        """The number of the schema's advisory lock. Such locks are of one database."""
        digest = hashlib.sha256(f"quartermaster:{self.address.schema}".encode()).digest()
        return int.from_bytes(digest[:8]) >> 2

    @property
    def channel(self) -> str:
        """Where masters tell each other that one leaves."""
        return f"quartermaster_{self.lock:x}"

    def role(self, epoch: int | None) -> str:
        """The role of the writer's connection: its epoch, or that it has none yet."""
        return f"{self.name}/{'standby' if epoch is None else epoch}"

    def session(self, epoch: int | None) -> str:
        """What the server calls the writer's session."""
        return session_name(self.role(epoch))

    def watch_session(self, epoch: int | None) -> str:
        """What the server calls the session of the watch."""
        return session_name(f"{self.role(epoch)} watch")

    def connect(self, what: str, epoch: int | None, patience_s: float | None) -> Connection:
        """A connection; `what` is behind its name. Raises StoreError."""
        return connect(self.address, f"{self.role(epoch)} {what}".rstrip(), patience_s)

    def values(self, epoch: int | None) -> dict[str, object]:
        """What the statements take."""
        return {
            "instance": self.instance,
            "name": self.name,
            "address": self.told,
            "version": self.version,
            "key_mark": self.key_mark,
            "epoch": epoch,
            "session": self.watch_session(epoch),
            "lock": self.lock,
            "channel": self.channel,
        }
