"""What the chaos jobs write down of themselves: one line an event, appended to one file.

Not a job: it has no `work`. Lines are `EVENT tag item pid parent time [more]`; the time is the
monotonic clock, which all processes of a machine share.
"""

import contextlib
import os
import resource
import time
import zlib

_hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (_hard, _hard))  # a "full disk" is the master's alone
_PATH = os.environ["CHAOS_DIARY"]
_FILE = os.open(_PATH, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def note(event, tag, item, *more):
    """Append one line. One write of a short line is never mixed with another's."""
    words = [event, tag, item, os.getpid(), os.getppid(), f"{time.monotonic():.6f}", *more]
    os.write(_FILE, (" ".join(map(str, words)) + "\n").encode())


def answer(tag, item):
    """The one right result of a task."""
    return [item, zlib.crc32(f"{tag}/{item}".encode())]


@contextlib.contextmanager
def execution(tag, item):
    """Start and end of one try; a try without an end was cut off."""
    note("S", tag, item)
    yield
    note("E", tag, item)


def failed_before(tag, item):
    """How often this task has failed on purpose; counts one more."""
    folder = os.path.join(os.path.dirname(_PATH), "marks")
    os.makedirs(folder, exist_ok=True)
    file = os.open(os.path.join(folder, f"{tag}-{item}"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        before = os.fstat(file).st_size
        os.write(file, b".")
        return before
    finally:
        os.close(file)
