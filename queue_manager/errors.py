"""The errors of Quartermaster, one tree.

    QueueError
    ├── ConnectionLostError   (also ConnectionError)  the other side is gone
    │   ├── UnreachableError  (also TimeoutError)  it did not answer in time
    │   └── StandbyError      it is a master that stands by for another one
    ├── TimedOutError         (also TimeoutError)  what was waited for has not come in time
    ├── WrongKeyError         the authkeys of the two sides differ
    ├── SettingsError         (also ValueError)  a variable has a wrong value; exit code 2
    │   ├── NoKeyError        there is no authkey, neither set nor in a file
    │   └── TlsError          one side demands encryption, and the other can't or won't
    ├── JobError              something is wrong with a job, or with how it was asked for
    │   ├── UnknownJobError   there is no such job
    │   ├── BadJobError       its module does not load, or lacks what a job needs
    │   │   └── BrokenEnvironmentError  the packages that it names can't be installed
    │   ├── NoEnvironmentError  the packages that it names can't be had here, or not now
    │   └── ArgumentError     (also TypeError)  its arguments are wrong
    ├── CannotTravelError     (also TypeError)  a function can't be sent to workers
    ├── NotPlainDataError     (also TypeError)  a value can't travel
    ├── TooLargeError         (also ValueError)  a value is above QUEUE_MAX_BYTES
    ├── ProtocolError         the other side sent bytes that are not what was agreed
    │   └── MissingLibraryError  a value needs a library that is not installed here
    ├── StoreError            the durable state cannot be read or written
    │   ├── UnstorableError   a change can't be stored, however much room the disk has
    │   ├── StoreBusyError    another master holds the data folder
    │   └── OwnershipLostError  another master has the store now, or may have it
    ├── InputError            (also ValueError)  a command can't read its inputs
    ├── OutputError           a command can't write its output
    │   └── ReaderGoneError   nobody reads the output any more
    ├── RefusedError          the master does not grant a request
    ├── TaskError             a task has raised what this program can't make again
    ├── TimeLimitError        (also TimeoutError)  a task took longer than its timeout_s
    └── WorkerDiedError       (also RuntimeError)  a task's slot or worker died, and it was given up

Each error's text is one line for the person who reads it. `Retry` and `Reject`, which a job
raises on purpose, are part of its contract and live in `job`.
"""


class QueueError(Exception):
    """Base of all errors of Quartermaster."""


class ConnectionLostError(QueueError, ConnectionError):
    """The other side is gone, or was never there."""


class UnreachableError(ConnectionLostError, TimeoutError):
    """The other side did not answer in time."""


class StandbyError(ConnectionLostError):
    """The other side is a master that stands by: another one has the queue."""


class TimedOutError(QueueError, TimeoutError):
    """What was waited for has not come in time. It goes on."""


class WrongKeyError(QueueError):
    """The authkeys of the two sides differ."""


class SettingsError(QueueError, ValueError):
    """An environment variable has a wrong or no value; commands exit with code 2."""


class NoKeyError(SettingsError):
    """No authkey is set, and its file is not there: a master that starts may make it."""


class TlsError(SettingsError):
    """One side demands an encrypted connection, and the other can't make one or won't."""


class JobError(QueueError):
    """Something is wrong with a job or with how it was asked for."""


class UnknownJobError(JobError):
    """There is no job of that name."""


class BadJobError(JobError):
    """The job's module does not load, or lacks what a job needs."""


class BrokenEnvironmentError(BadJobError):
    """The packages that a job names can't be installed, whoever tries.

    Attributes:
        evidence: the words of uv; empty where they were shown before.
    """

    def __init__(self, why: str, evidence: str = "") -> None:
        super().__init__(why)
        self.evidence = evidence


class NoEnvironmentError(JobError):
    """The packages that a job names can't be had on this host, or not now."""


class ArgumentError(JobError, TypeError):
    """The arguments of a run do not fit the job's `tasks()`."""


class CannotTravelError(QueueError, TypeError):
    """A function, or something that it refers to, can't be sent to workers."""


class NotPlainDataError(QueueError, TypeError):
    """A value is of a type that cannot travel."""


class TooLargeError(QueueError, ValueError):
    """A value takes more bytes than QUEUE_MAX_BYTES allows."""


class ProtocolError(QueueError):
    """The other side sent bytes that are not what was agreed."""


class MissingLibraryError(ProtocolError):
    """A value needs a library that is not installed here.

    Args:
        value: its kind, such as "a numpy array".
        library: the library's name.
    """

    def __init__(self, value: str, library: str) -> None:
        super().__init__(value, library)
        self.value, self.library = value, library

    def __str__(self) -> str:
        return self.told("a value", "program")

    def told(self, what: str, who: str) -> str:
        """The line about it. what: the value, to its reader. who: the process without it."""
        return (
            f"{what} is {self.value}, and this {who} has no {self.library}:"
            f" pip install {self.library} where the {who} runs"
        )


class StoreError(QueueError):
    """The durable state cannot be read or written."""


class UnstorableError(StoreError):
    """A change can't be stored, however much room the disk has."""


class StoreBusyError(StoreError):
    """Another master holds the data folder."""


class OwnershipLostError(StoreError):
    """This master is not the active one any more: it writes nothing, and stands by."""


class InputError(QueueError, ValueError):
    """A command can't read its inputs; the text names the file and the line."""


class OutputError(QueueError):
    """A command can't write its output."""


class ReaderGoneError(OutputError):
    """The reader of a command's output has closed it, as `head` does."""


class RefusedError(QueueError):
    """The master does not grant a request; the text says why."""


class TaskError(QueueError):
    """A task has raised an exception whose class this program does not know, or can't make.

    Attributes:
        type_name: the class of the exception, such as `shop.NoSuchItemError`; empty if it is not
            known.
        text: what it says, on one line.
        traceback: the traceback in the worker; may be empty.
    """

    def __init__(self, type_name: str, text: str, traceback: str = "") -> None:
        super().__init__(type_name, text, traceback)
        self.type_name, self.text, self.traceback = type_name, text, traceback

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.type_name, self.text)))


class TimeLimitError(QueueError, TimeoutError):
    """A task took longer than the `timeout_s` of its options, and was ended."""


class WorkerDiedError(QueueError, RuntimeError):
    """A task ended its slot or its worker, such as by a signal, until it was given up."""
