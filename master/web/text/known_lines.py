"""The lines of the master that pages say in other languages, with places for their values.

A value stays as it is. `{line}`, `{more}` and `{who}` are translated if they are known themselves;
a `{kind...}` has to be known. The first line that fits counts, so one that says more comes before
one that says less. A test compares these lines with what the master can say.
"""

from __future__ import annotations


def _(text: str) -> str:
    """Marks a text for the catalog."""
    return text


# --- why a run does not move ---

_REASONS = (
    _("JOB is not set: only standard-library clients take its tasks"),
    _("no worker is connected: {line}"),
    _("no worker has {more}: {line}"),
    _(
        "the run needs {more}, and {who} can't say which Python is there: update the worker (it"
        " speaks level {level} of the protocol, the master level {ours})"
    ),
    _("all slots with {more} are busy with run {runs}: start more workers with {setting}"),
    _("all slots are busy with run {runs}: start more workers"),
    _("every worker with {more} is stopping: start others with {setting}"),
    _("every worker is stopping: start others"),
    _("{who} can't run {job}: {line}"),
    _("{who} lacks {library}: rebuild with jobs/requirements.txt"),
    _("{who} lacks {library}, which that function imports: install it where this worker runs"),
    _(
        "group {names} held back, the first for {n} s, as tasks asked with Retry(whole_group=True):"
        " nothing to do"
    ),
    _(
        "groups {names} held back, the first for {n} s, as tasks asked with"
        " Retry(whole_group=True): nothing to do"
    ),
    _("held back by limits of groups that results have set{more}"),
    _(
        "held back by per_group=Limit({limit}) of its OPTIONS{more}: if that is too strict, change"
        " it in jobs/{job}.py"
    ),
    _("held back by per_group=Limit({limit}) of its OPTIONS{more}"),
    _("its one task waits for a delay or a back-off to end{more}: nothing to do"),
    _("all {n} tasks wait for a delay or a back-off to end{more}: nothing to do"),
)

_CLIENTS = (
    _(
        "{client} takes here while results are put on another connection, which settles nothing:"
        " use both queues from one thread of one process"
    ),
    _(
        "{client} has taken {n} tasks and put no result: set QUEUE_STOCK_ACK=next on the master if"
        " its script puts none"
    ),
    _(
        "{client} has held a task for {n} s; it is offered again when its connection ends: end that"
        " client if it hangs"
    ),
)

_NOTES = (
    _(
        "takes here while results are put on another connection, which settles nothing: use both"
        " queues from one thread of one process"
    ),
    _(
        "has taken {n} tasks and put no result: set QUEUE_STOCK_ACK=next on the master if its"
        " script puts none"
    ),
    _(
        "has held a task for {n} s; it is offered again when its connection ends: end that client"
        " if it hangs"
    ),
)

_RUNNERS = (
    _("its runner {line}, {n} times without progress: {last}; {more}"),
    _("its runner {line}, {n} times without progress; {more}"),
    _("its runner is stopped by a signal: `kill -CONT {pid}`"),
    _("its runner waits behind others, of which {n} start at a time: nothing to do"),
    _("its runner can't be started ({error}): it is tried again by itself"),
    _("its program has not given all its inputs; none is connected: {line}"),
    _("its program is connected, and has not given its next input"),
    _("can't begin: {line}"),
    _("waits for run {run}"),
    _("waits for runs {runs}"),
)

_MASTER = (
    _("{line}; nothing is lost: make room, and it goes on by itself"),
    _("{line}; nothing is lost: all wait until it is there again"),
    _("{line}; what needs it waits, all else goes on"),
    _(
        "it has just started again and waits for the workers that it knew, 5 s at most: nothing to"
        " do"
    ),
    _("the copy {name} of the store is {n} s behind: {line}"),
    _("{line}; its tasks wait until it is back"),
    _("{line}; tasks of {job} wait until that is mended"),
    _("can't write to {path}: {line}"),
    _("can't read {path}: {line}"),
    _("too much is asked of the master at once: nothing was sent to it; try again in a moment"),
    _("the master does not answer"),
    _("the disk with the files does not answer: try again in a moment"),
)

_SCHEDULES = (
    _("schedule {name}: {line}"),
    _("no schedule runs: the clock of the master's machine is wrong"),
    _(
        "no slot runs before {time}, for the clock was ahead: to begin again from now, qm schedule"
        " resume {name}"
    ),
    _("{path} was not read or taken within {n} s"),
    _("{path} can't be taken now: {line}"),
    _("{line}; nothing of the file is taken until that is mended"),
    _(
        "the schedule {name} of {file} is not taken: a command has added another one (qm schedule"
        " remove {again})"
    ),
    _("waits: {line}"),
    _("{slot}Z left out: {line}"),
    _("{slot}Z slots before it were missed: the newest {n} are made up for"),
    _("{slot}Z slots before it were missed"),
    _("{slot}Z missed, like others before it"),
    _("{slot}Z missed"),
)

# --- how a task failed, where no job has said it ---

FAILURES = (
    _("timed out after {n} s"),
    _("its lease was lost {n} times (worker, host or connection ended)"),
    _("its lease was lost: {who} ended"),
    _("its slot died: {line}"),
    _("its slot was suspended for {n} s"),
    _("its result can't be recorded: {line}"),
)
"""Lines of failures that no job has written."""

# --- what is wrong with what was typed ---

_ARGUMENTS = (
    _("argument {name} is not of the form name=value"),
    _("argument {name} is given twice"),
    _("argument {name} is {kind}, which no command line can give"),
    _("argument {name} is {kind}, not {value}"),
    _("missing argument {name}: give {how}"),
    _("missing arguments {names}: give {how}"),
    _("unknown argument {name}: the job takes no arguments"),
    _("unknown argument {name}: the job has no tasks() to take arguments"),
    _("unknown argument {name} (did you mean {near}?): the job takes {names}"),
    _("unknown argument {name}: the job takes {names}"),
    _("'previous' is the results of other runs: say after which, with --after"),
    _("tasks() takes the results of other runs (previous): say after which, with --after"),
    _("arguments {text}: {line}"),
    _("there are {n} arguments, and may be {most}"),
    _(
        "the {n} arguments may be {most} and take {bytes} bytes: put them in a file and pass its"
        " path"
    ),
    _(
        "the {n} arguments take {size} bytes, and may be {most} and take {bytes} bytes: put them in"
        " a file and pass its path"
    ),
    _("the argument {text} has a time of no form that strftime knows: write {how}"),
)

_FIELDS = (
    _("the key takes {n} bytes, and may take {most}: shorten it"),
    _("the key {key} is that of run {what}: take another one"),
    _(
        "the key {key} is that of run {what}: take another one, with --key; this one is made of the"
        " arguments"
    ),
    _("no run {run} to be after: see `qm status`"),
    _("the queue run never ends, so no run can be after it"),
    _("run {run} was cancelled: submit it again, and name the new run"),
    _("run {run} goes with its program, so no run can be after it"),
    _("{text}: a tag is made of {characters}, such as gpu,bigmem"),
    _("a run needs at most {n} tags, and these are {there}"),
    _("{text} is no number of a run, such as 1"),
    _("{text} is no number of a task, such as 1"),
    _("there is no state {text} of a task: {words}"),
    _("choose a run"),
    _("run {run} is none of those with this failure"),
    _("{n} runs are too many at once: take {most} at most"),
    _("no run of {job} has such dead letters"),
    _("run {run} is of another job: {job}"),
    _("this comes from a page of another site"),
    _("no pages under the name {name}: add it to HTTP_HOSTS"),
    _("{text} is no place: pass it as FILE:LINE, such as ValueError@lines.py:12"),
    _("{text} is no time, such as 2026-05-04T12:00 (UTC)"),
    _("error names nothing: pass EXCEPTION or EXCEPTION@FILE:LINE"),
    _("until is not later than since: nothing can have failed between them"),
    _("{name} has {n} characters, and may have {most}"),
    _("it has {n} characters, and may have {most}"),
    _("it must be given, such as {what}"),
    _("{text} is none of {words}"),
    _(
        "{text} is no cron expression: it has five fields (minute, hour, day of the month, month,"
        " day of the week), such as '0 3 * * *', or is one of {words}"
    ),
    _("{text} is no cron expression: its {field} is wrong"),
    _("{text} never comes: its months have no such day"),
    _("{text} never comes: no such day is in the next years"),
    _("{text} has a tab or a line end: put spaces between its fields"),
    _("{text} is no time zone: take a name such as {near}"),
    _("{text} is no name of a schedule: it has up to 100 letters, digits, '.', '_' and '-'"),
    _("there is another schedule {name} ({what}): remove it first, or take another name"),
    _("there are {n} schedules, and may be no more"),
    _("there is no schedule {name}"),
)

_REFUSALS = (
    _("no job {name}: {line}"),
    _("{job}: its import took more than {n} s"),
    _("{job}: its import ended the process (exit code {code})"),
    _("no run {run}; it was forgotten"),
    _("no run {run}; {more}"),
    _(
        "run {run} ({job}) ended long ago and was pruned (QUEUE_KEEP_DAYS): its tasks and results"
        " are gone; `qm forget {again}` frees its key"
    ),
    _("run {run} has ended: {state}"),
    _("run {run} has not ended: `qm cancel {again}`"),
    _("run {run} has not begun: it waits for {more}"),
    _("run {run} was forgotten: submit it again"),
    _("run {run} was cancelled: submit it again"),
    _("run {run}: task {task} does not wait, so it can't be cancelled"),
    _("run {run}: no dead letter is what you ask for; {more}"),
    _(
        "run {run} can't go: its results are for {more}; `qm cancel {later}`, or wait until those"
        " are taken"
    ),
    _("the schedule {name} is in jobs/schedules.toml: remove it there, or pause it"),
    _("this form is not of a page of yours: load the page again"),
    _("a form holds at most {n} bytes"),
    _("there is no such page"),
    _("there is no such folder, or it is none to show"),
    _("there is no such file, or it is none to show"),
)

LINES = (
    *_REASONS,
    *_CLIENTS,
    *_RUNNERS,
    *_MASTER,
    *_SCHEDULES,
    *FAILURES,
    *_ARGUMENTS,
    *_FIELDS,
    *_REFUSALS,
)
"""Whole lines."""

# --- pieces of lines ---

_KINDS = (
    _("{kind} or none"),
    _("a whole number"),
    _("a number of seconds, or a duration such as PT1H30M"),
    _("a number such as {example}"),
    _("a number"),
    _("true or false"),
    _("base64 of bytes, such as {example}"),
    _("a date and time such as {example}"),
    _("a date such as {example}"),
    _("a time of day such as {example}"),
    _("a text"),
    _("one of {words}"),
    _("some of {words}, with | between them"),
    _("a {type} as JSON text, such as {example}"),
    _("{kind} or {kind2}"),
)

_PIECES = (
    _("docker compose up --detach --scale worker=8, or python -m worker"),
    _("start one with {setting}"),
    _("the tags {tags} and {tag} and Python {version} together"),
    _("the tag {tag} and Python {version} together"),
    _("the tags {tags} and {tag} together"),
    _("the tag {tag}"),
    _(", the next for {n} s (until {time})"),
    _(", the next for {n} s"),
    _(", the next may start in {n} s"),
    _(", the next may start when one of their tasks ends"),
    _("ended with exit code 0 and had not said that it is done"),
    _("ended with exit code {code}"),
    _("was killed by signal {signal}"),
    _("was killed by {signal}"),
    _("exit code {code}"),
    _("killed by signal {signal}"),
    _("killed by {signal} as memory ran out ({line})"),
    _("killed by {signal} as memory ran out"),
    _("there are {size}; this slot had {own} of it {n} s before"),
    _("there are {size}"),
    _("this slot had {own} of it {n} s before"),
    _("killed by {signal}"),
    _("its pipe to the worker was closed"),
    _("mend jobs/{job}.py, or `qm retry {run}`"),
    _("mend jobs/{job}.py, then `qm retry {run}`"),
    _(
        "if an argument is wrong, `qm cancel {run}` and submit it again with another one; else"
        " {line}"
    ),
    _("start it again, or `qm cancel {run}`"),
    _("unless it comes back, the run is removed within a minute"),
    _("the run has no key, so no other can: unless it comes back, `qm cancel {run}`"),
    _("run {run} has failed: `qm retry {again}`, or `qm cancel {later}`"),
    _("run {run} was cancelled: `qm cancel {later}`, and submit both again"),
    _("run {run} was still going"),
    _("slots before it were waiting"),
    _("{n} slots were waiting"),
    _("database or disk is full"),
    _("disk I/O error"),
    _("it has no dead letters"),
    _("no closing quotation"),
    _("{folder} is empty or missing; put yours at {path}"),
    _("{folder} has {jobs}; put yours at {path}"),
    _("{names} and {n} more"),
    _("its client"),
)

PARTS = (*_NOTES, *_KINDS, *_PIECES)
"""Pieces of lines."""
