"""The bytes on the wire: frames, handshake, encryption, pickles of strangers, messages of ours."""
