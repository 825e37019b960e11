"""The bytes on the wire: frames, handshake, encryption, strangers' pickles, our messages."""
