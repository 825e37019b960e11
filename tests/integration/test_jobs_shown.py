"""`qm jobs`, `qm check` and what a shell completes, as people have them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tests.integration.processes import Master, Place

SIZES = '''"""Sizes of things."""
from queue_manager import Options
OPTIONS = Options(attempts=1)
def tasks(start: str, depth: int = 3):
    """All of them.

    Args:
        depth: how deep it goes.
    """
    yield start * depth
def work(text):
    print("looking")
    if text == "bad" * 3:
        raise ValueError("too bad")
    return len(text)
'''


@pytest.fixture
def sizes(place: Place) -> Place:
    """A folder with a job, and no master."""
    (place.jobs / "sizes.py").write_text(SIZES)
    return place


def test_the_master_tells_its_jobs_and_the_arguments_of_one(
    start_master: Callable[..., Master],
) -> None:
    master = start_master()
    (master.jobs / "sizes.py").write_text(SIZES)
    told = master.place("elsewhere").command(
        "jobs", QUEUE_PORT=str(master.port), JOBS_FOLDER="/nonesuch"
    )
    assert told.code == 0, repr(told)
    assert "sizes" in told.out
    (line,) = [line for line in told.out.splitlines() if line.startswith("sizes ")]
    assert line.endswith(" Sizes of things.")
    one = master.command("jobs", "sizes", JOBS_FOLDER="/nonesuch")
    assert one.out.splitlines() == [
        "sizes: Sizes of things.",
        "  functions  tasks, work",
        "  options    attempts=1",
        "",
        "  start  a text          must be given",
        "  depth  a whole number  default 3",
        "         how deep it goes.",
        "",
        "To run it: qm submit sizes start=...",
    ]
    refused = master.command("jobs", "nonesuch")
    assert refused.refusal.startswith("qm: no job 'nonesuch': jobs/ has ")


def test_without_a_master_the_jobs_are_those_of_the_folder(sizes: Place) -> None:
    told = sizes.command("jobs", "sizes", QUEUE_PORT="9")
    assert told.out.startswith("sizes: Sizes of things.\n")
    assert told.err.startswith("qm: there is no master here; these are jobs of the folder ")


def test_a_broken_job_is_listed_with_its_trouble(sizes: Place) -> None:
    (sizes.jobs / "broken.py").write_text("def work(:")
    told = sizes.command("jobs", QUEUE_PORT="9")
    (line,) = [line for line in told.out.splitlines() if line.startswith("broken")]
    assert line.endswith("! broken.py line 1: invalid syntax")
    refused = sizes.command("jobs", "broken", QUEUE_PORT="9")
    assert refused.code == 2
    assert refused.err.endswith("qm: jobs/broken.py line 1: SyntaxError: invalid syntax\n")


def test_a_check_says_what_the_first_task_would_give(sizes: Place) -> None:
    done = sizes.command("check", "sizes", "start=ab", QUEUE_HOST="")
    assert done.code == 0, repr(done)
    assert done.out.startswith("sizes: its file loads, and has tasks(), work()\n")
    assert "  first task  'ababab'\n  result      6\n" in done.out
    assert "looking" in done.err
    assert not (sizes.folder / "data").exists()


def test_a_check_tries_a_failing_task_once(sizes: Place) -> None:
    """The other tries of the job take long, and say the same."""
    tried = sizes.folder / "tried"
    source = SIZES.replace("attempts=1", "attempts=100")
    (sizes.jobs / "sizes.py").write_text(
        source.replace('    print("looking")\n', f'    open({str(tried)!r}, "a").write("x")\n')
    )
    done = sizes.command("check", "sizes", "start=bad")
    assert done.code == 1
    assert "  failed      ValueError: too bad\n" in done.out
    assert tried.read_text() == "x"


def test_a_check_shows_how_a_task_fails(sizes: Place) -> None:
    done = sizes.command("check", "sizes", "start=bad")
    assert done.code == 1
    assert "  failed      ValueError: too bad\n" in done.out
    assert 'raise ValueError("too bad")' in done.out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["sizes"], "qm: missing argument 'start': give start=…"),
        (["sizes", "start=a", "dept=2"], "qm: unknown argument 'dept' (did you mean depth?)"),
        (["nonesuch"], "qm: no job 'nonesuch': jobs/ has "),
        (["raises"], "qm: raises.tasks() line 2: OSError: not there"),
        (["fed"], "qm: fed has no tasks(), so there is no first task to take"),
    ],
)
def test_a_check_of_what_can_not_run_is_one_line(sizes: Place, words: list[str], line: str) -> None:
    (sizes.jobs / "raises.py").write_text(
        "def tasks():\n    raise OSError('not there')\ndef work(n): ..."
    )
    (sizes.jobs / "fed.py").write_text("def work(n): ...")
    assert sizes.command("check", *words).refusal.startswith(line)


def test_a_job_without_a_task_is_done_at_once(sizes: Place) -> None:
    (sizes.jobs / "none.py").write_text("def tasks(): return []\ndef work(n): ...")
    done = sizes.command("check", "none")
    assert (done.code, done.out.splitlines()[1]) == (
        0,
        "tasks() gives no task, so a run would be done at once",
    )


def completed(place: Place, line: str, shell: str = "bash", **settings: str) -> list[str]:
    """What a shell gets for the last word of a line."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    ended = place.command(**words, _QM_COMPLETE=f"{shell}_complete", **settings)
    assert ended.err == ""
    return [line for line in ended.out.splitlines() if line]


def test_jobs_and_runs_are_completed(start_master: Callable[..., Master]) -> None:
    master = start_master()
    master.worker()
    run = master.submit("square", "count=1")
    assert "plain,square" in completed(master, "qm submit squ", JOBS_FOLDER="/nonesuch")
    assert completed(master, "qm results ") == [f"plain,{run}"]
    assert completed(master, "qm results 9") == []
    shown = completed(master, "qm show ", "zsh")
    assert shown[:2] == ["plain", str(run)]
    assert shown[2].startswith("square, ")
    assert "plain,check" in completed(master, "qm ch")


def test_without_a_master_completion_is_silent(sizes: Place) -> None:
    assert completed(sizes, "qm results ", QUEUE_PORT="9") == []
    assert completed(sizes, "qm check si", QUEUE_PORT="9") == ["plain,sizes"]
    assert completed(sizes, "qm results ", QUEUE_PORT="nonsense") == []


def test_jobs_and_schedules_of_schedules_are_completed(start_master: Callable[..., Master]) -> None:
    master = start_master()
    assert master.command("schedule", "add", "nightly", "0 3 * * *", "square").code == 0
    assert completed(master, "qm schedule add n @daily squ") == ["plain,square"]
    for verb in ("pause", "resume", "remove"):
        assert completed(master, f"qm schedule {verb} ni") == ["plain,nightly"]
    assert completed(master, "qm schedule pause x") == []


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("qm map w", "file"),
        ("qm map work.py n", "file"),
        ("qm map -o w", "file"),
        ("qm map --failed w", "file"),
        ("qm shell -a w", "file"),
        ("qm shell --joblog w", "file"),
        ("qm shell wc w", "file"),
        ("qm shell --workdir w", "dir"),
        ("qm shell --large w", "dir"),
    ],
)
def test_files_are_completed_by_the_shell(place: Place, line: str, kind: str) -> None:
    assert completed(place, line) == [f"{kind},{line.split()[-1]}"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_names_the_command(place: Place, shell: str) -> None:
    script = place.command("completion", shell).out
    assert f"_QM_COMPLETE={shell}_complete" in script
    if shell == "bash":
        done = subprocess.run(
            ["bash", "-c", f"{script}\ncomplete -p qm"], capture_output=True, text=True
        )
        assert "_qm_completion qm" in done.stdout


def test_another_shell_is_one_line(place: Place) -> None:
    refused = place.command("completion", "tcsh").refusal
    assert refused.startswith("qm: Invalid value for 'SHELL': 'tcsh' is not one of")


def test_no_shell_is_one_line(place: Place) -> None:
    refused = place.command("completion").refusal
    assert refused.startswith("qm: Missing argument 'SHELL'. Choose from: bash, zsh, fish (see")
