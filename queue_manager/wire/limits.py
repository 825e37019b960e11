"""Every limit of what travels. Strangers may not send more, and our own programs do not.

This module owns the numbers, and how a stranger's text is shown. `QUEUE_MAX_BYTES`, the limit of
one payload or result, is a setting (`settings`). docs/protocol.md has the same numbers.
"""

from __future__ import annotations

# --- values, before they are loaded (`opcodes`) ----------------------------------------------

VALUE_FACTOR = 10
"""A stranger's value may take this many times its bytes in the master's memory..."""

VALUE_FREE_BYTES = 8 * 1024 * 1024
"""... and this much more, because lists of many tiny values are plain data, too."""

HASHED_ENTRIES = 1_024
"""The most keys of dicts and members of sets in a value that are neither texts, bytes nor ints
below 2^20. Their hashes are known beforehand, so many of them can be made to collide."""

HASHED_NODES = 8_192
"""The most parts of all these keys and members together, with tuples written out."""

HASHED_ITEM_NODES = 16_000_000
"""The same in slots, runners and commands, where a slow value delays one task alone."""

HASH_DEPTH = 1_000
"""The deepest nesting of a key: hashing deeper tuples can overflow the C stack."""

ENCODED_BYTES = 8 * 1024 * 1024
"""Encoding a value ends with an error at this size, whatever QUEUE_MAX_BYTES is."""

WALK_BYTES = 16 * 1024
"""How much of a pickle is looked at in one go. If each byte is an opcode, it takes milliseconds."""

REQUEST_BYTES = 16 * 1024
"""The most bytes of a connection's first request: it has a name and hardly an argument."""

# --- messages of our own sessions (`records`, `messages`) ----------------------------

LAST_NUMBER = 2**62
"""No run, task, block or outcome has this number. A store can't take a much larger one."""

BLOCK_TASKS = 1_024
"""The most tasks of a block."""

BLOCK_BYTES = 64 * 1024
"""Our programs end a block at this size of payloads and keys. A larger task has a block alone."""

FRAME_BYTES = 8 * 1024 * 1024
"""The most bytes of a frame that we send. We read frames of twice that size, so that another
version of the program may have a larger limit."""

SMALL_MESSAGE_BYTES = 64 * 1024
"""A message of at most this size takes less than VALUE_FREE_BYTES, whatever is in it."""

MESSAGE_PARTS = 500_000
"""The most lists, texts and numbers of a message together. Follow-ups of 4 MiB, whose keys all
differ, have fewer."""

SUBMIT_DELAYED = 16_384
"""The most delayed tasks of one submit: the master tracks each of them, in 10 to 20 µs."""

SUBMIT_KEYS = 16_384
"""The most keys of one submit: the master looks each of them up. Ours have four blocks."""

PART_BYTES = FRAME_BYTES - 64 * 1024
"""The most encoded bytes of one outcome, or of the blocks of one submit: a frame takes them."""

FOLLOW_BYTES = 4 * 1024 * 1024
"""The most encoded bytes of the follow-ups and limits of one result, keys and all."""

EXCHANGE_BYTES = 4 * 1024 * 1024
"""Outcomes above this size wait for the next exchange..."""

EXCHANGE_OUTCOMES = 1_024
"""... and above this number, because the master looks at a whole exchange in one go."""

MOST_BLOCKS = 16_384
"""The most blocks of a message, and of follow-ups of a result."""

KEY_BYTES = 1_024
"""The most bytes of a key, of a group's name and of a quota's, in UTF-8."""

TAGS = 256
"""The most tags of a worker, or that a job needs."""

ARGS = 1_024
"""The most arguments of a run..."""

ARGS_BYTES = 128 * 1024
"""... and the most bytes of them together, because `status` shows them all."""

SCHEDULES = 1_000
"""The most schedules of a master..."""

SCHEDULE_ARGS_BYTES = 4 * 1024
"""... and the most bytes of the arguments of each: all of them are one answer."""

AFTER = 1_024
"""The most runs that a run waits for."""

CODE_BYTES = FRAME_BYTES - 512 * 1024
"""The most bytes of the files of a job's code together: they travel in one frame, to the master
with what else a start has (`ARGS_BYTES`)."""

CODE_FILES = 4_096
"""The most files of a job's code..."""

PATH_CHARS = 1_024
"""... and the most characters of the path of each."""

HELD_LEASES = 32_768
"""The most leases that a worker can hold when it comes back."""

TEXT_CHARS = 64 * 1024
"""The most characters of each text that a worker reports of a failure."""

RAISED_BYTES = 8 * 1024
"""The most bytes of what a task has raised, as plain data."""

CANCEL_RANGES = 4_096
"""The most ranges of tasks that one request cancels."""

RETRY_RANGES = 4_096
"""The most ranges of tasks that one request tries again."""

REASON_CHARS = 1_000
"""The most characters of the reason of a retry..."""

RETRY_NOTES = 4
"""... and how many retries of a task are kept, the newest ones."""

MOST_PROCESSORS = 1_000_000
"""The most processors that a worker may say that it uses."""

PRINTED_CHARS = 4_096
"""The most characters that the master keeps of what a job has printed in the runner."""

RUNS_LOOKED_AT = 25_000
"""The most ended runs that the master looks at for one page of runs: that takes some 0.02 s."""

# --- texts -----------------------------------------------------------------------------------

NAME_CHARS = 256
"""The most characters of a name on the network: a typeid, a method, a host, a job."""

_SHOWN_CHARS = 200


def printable(text: str, limit_chars: int = _SHOWN_CHARS) -> str:
    """A stranger's text as a log or a terminal may show it: on one line, bounded.

    What is not printable is escaped, as in a Python literal.
    """
    shown = text if len(text) <= limit_chars else text[:limit_chars] + "..."
    return shown if shown.isprintable() else shown.translate(_ESCAPED)


class _Escaped(dict[int, str]):
    """How each character is shown, remembered: thousands of odd ones must not take milliseconds."""

    def __missing__(self, code: int) -> str:
        one = chr(code)
        shown = one if one.isprintable() else one.encode("unicode_escape").decode()
        if len(self) < 4_096:
            self[code] = shown
        return shown


_ESCAPED = _Escaped()


def is_name(value: object) -> bool:
    """Whether a value is a `str` of at most `NAME_CHARS` printable characters."""
    return type(value) is str and len(value) <= NAME_CHARS and value.isprintable()
