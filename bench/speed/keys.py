"""A million tasks with keys beside a million without, and follow-ups with keys."""

from __future__ import annotations

from ..brief import sized
from ..figure import Figure, ratio
from ..rig import processes, run

ROUNDS = sized(3, 1)
TASKS = sized(1_000_000, 50_000)
FOLLOWED = sized(102_000, 10_200)
EACH = (50, 1)
FORMS = ("plain", "task", "keyed")
LEAST_RATIO = 0.2
LEAST_OF_PAYLOADS = 0.5


def measure() -> list[Figure]:
    """Measure all kinds in turn, each in a store of its own."""
    forms: list[tuple[str, ...]] = [
        ("squares", f"form={form}") for form in ("plain", "task", "keyed")
    ]
    forms += [
        ("following", f"each={each}", f"keyed={keyed}") for each in EACH for keyed in (False, True)
    ]
    rounds = [[_rate(*form) for form in forms] for _ in range(ROUNDS)]
    columns = list(zip(*rounds, strict=True))
    names = [f"{TASKS:,} payloads", f"{TASKS:,} of Task", f"{TASKS:,} of Task with keys"]
    names += [f"follow-ups, {each} each{keyed}" for each in EACH for keyed in ("", ", with keys")]
    figures = [Figure(name, "tasks/s", column) for name, column in zip(names, columns, strict=True)]
    plain, task, keyed, *follow = figures
    return [
        *figures,
        ratio("with keys / payloads", keyed, plain, at_least=LEAST_OF_PAYLOADS),
        ratio("with keys / of Task without", keyed, task, at_least=LEAST_RATIO),
        *(
            ratio(f"{with_keys.name} / without", with_keys, without, at_least=LEAST_RATIO)
            for without, with_keys in zip(follow[::2], follow[1::2], strict=True)
        ),
    ]


def _rate(job: str, *args: str) -> float:
    count = TASKS if job == "squares" else FOLLOWED
    with (
        processes.scratch() as folder,
        processes.master(folder) as (_, port),
        processes.worker(folder, port),
    ):
        return run.measure(port, count, folder, job, *args).rate
