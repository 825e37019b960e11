"""Each task fails a known number of times, by its own wish or by an exception, before it works."""

from diary import answer, failed_before, note

from queue_manager import Options, Retry

OPTIONS = Options(attempts=30, losses=30)


def tasks(tag: str, count: int = 20):
    for n in range(count):
        yield [tag, str(n), n % 4]


def work(task):
    tag, item, failures = task
    note("S", tag, item)
    if failed_before(tag, item) < failures:
        note("F", tag, item)
        if int(item) % 8 == 1:
            raise ValueError("on purpose")
        raise Retry(0.1)
    note("E", tag, item)
    return answer(tag, item)
