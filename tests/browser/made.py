"""The pages that our jobs write, with what a real run leaves, with nothing, and with hostile texts.

Everything comes from a seed, so that a picture of a page is the same each time.
"""

from __future__ import annotations

import math
import random
import time
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from jobs.crawl.keep import thumbnails
from jobs.crawl.keep.files import Store
from jobs.crawl.keep.indexing import write_index
from jobs.crawl.keep.sheet import write_sheet
from jobs.crawl.site import Site
from jobs.mailing.keep.notes import Notes, Trouble
from jobs.mailing.keep.reporting import write_report
from jobs.weblog import work
from jobs.weblog.asked import NAMES, Asked
from jobs.weblog.show import report

HOSTILE = "<script>alert('ran')</script><img src=x onerror=\"alert('ran')\">'\"&amp;"
"""What runs if a page has it as HTML."""
LONG = "w" * 300
_BEGAN_AT = 1_780_300_800.0  # 2026-06-01T08:00:00Z
_DAY_S = 86_400.0

# ---- mail

_DOMAINS = {
    "gmail.example": 0.34,
    "outlook.example": 0.2,
    "yahoo.example": 0.12,
    "web.example": 0.09,
    "proton.example": 0.07,
    "münchen.example": 0.03,
}
_REFUSALS = (
    "550 5.1.1 The email account that you tried to reach does not exist",
    "552 5.2.2 Mailbox full",
    "550 5.7.1 Service unavailable, client host blocked using a list of senders",
)


def mail(folder: Path, messages: int = 4800) -> Path:
    """The report of a newsletter."""
    chance, notes, done = random.Random(5), Notes(str(folder)), []
    for number in range(messages):
        to = f"reader{number:05}@{_domain(chance)}"
        at = _BEGAN_AT + number * 0.9 + chance.random() * 40
        payload = {"to": to, "submit": "now"}
        fate = chance.random()
        if fate < 0.018:
            words = chance.choices(_REFUSALS, [6, 3, 1])[0]
            notes.trouble(Trouble(str(number), to, "refused", words, at, "now"))
        elif fate < 0.019:
            words = "no answer to the end of the message within 600 s"
            notes.trouble(Trouble(str(number), to, "unknown", words, at, "now"))
        elif fate < 0.03:
            done.append((payload, {"state": "suppressed", "words": "asked for none", "at": at}))
        else:
            sent = {"state": "sent", "server": "mx.letters.example:587", "words": "250 2.0.0 ok"}
            done.append((payload, {**sent, "at": at, "id": str(number)}))
    return write_report(str(folder), "spring-2026", iter(done), "now")[1]


def _domain(chance: random.Random) -> str:
    known = list(_DOMAINS)
    rare = f"company{int(chance.expovariate(0.05)):02}.example"
    return chance.choices([*known, rare], [*_DOMAINS.values(), 0.15])[0]


def mail_without_trouble(folder: Path) -> Path:
    """The report of a single message, which was sent."""
    sent = {"state": "sent", "server": "mx:25", "words": "250 ok", "at": _BEGAN_AT, "id": "1"}
    return write_report(str(folder), "", iter([({"to": "ann@mail.example"}, sent)]))[1]


def mail_hostile(folder: Path) -> Path:
    """The report of a campaign whose name, recipients and servers would run scripts."""
    notes = Notes(str(folder))
    for number, words in enumerate((HOSTILE, LONG, "")):
        to = f"{words[:60]}@{words[:200]}.example"
        notes.trouble(Trouble(str(number), to, "refused", f"550 {words}", _BEGAN_AT, "now"))
    sent = {"state": "sent", "server": HOSTILE, "words": HOSTILE, "at": _BEGAN_AT, "id": "9"}
    done = [({"to": f"{HOSTILE}@{HOSTILE}", "submit": "now"}, sent)]
    return write_report(str(folder), HOSTILE, iter(done), "now")[1]


# ---- logs

_PATHS = ("/", "/about", "/blog/", "/shop/", "/shop/cart", "/login", "/style.css", "/logo.svg")
_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/140.0.0.0 Safari/537.36",
    "curl/8.14",
)
_REFERRERS = ("-", "https://search.example/", "https://news.example/a-story-of-the-week")


def logs(folder: Path, requests: int = 20_000) -> Path:
    """The report of a week of a web server."""
    chance = random.Random(7)
    lines = [_request(chance, _moment(chance)) for _ in range(requests)]
    lines += ["a line that was cut o", '2001:db8::7 - - "no time" 200']
    return _logs_of(folder, lines)


def logs_without_requests(folder: Path) -> Path:
    """The report of a file without a request."""
    return _logs_of(folder, [])


def logs_hostile(folder: Path) -> Path:
    """The report of a server whose clients sent scripts and very long words."""
    chance, lines = random.Random(9), []
    for words in (HOSTILE.replace('"', '\\"'), f"/{LONG}", "\\x1b[2J"):
        lines.append(_request(chance, _BEGAN_AT, words.replace(" ", "+"), words))
    return _logs_of(folder, [*lines, HOSTILE, LONG])


def _logs_of(folder: Path, lines: list[str]) -> Path:
    path = folder / "access.log"
    path.write_text("".join(f"{line}\n" for line in lines))
    by = [name for name in NAMES if name != "host"]
    asked = Asked(format="auto", by=by, range_bytes=1_000_000)
    payload = {"patterns": [str(path)], "asked": asked.packed()}
    plan = work.plan_run(payload)
    results: list[tuple[Any, Any]] = [(payload, plan.value)]
    results += [(task.payload, work.count_range(task.payload)) for task in plan.follow]
    report.write(results, str(folder), by, 100, "UTC")
    return folder / "index.html"


def _moment(chance: random.Random) -> float:
    while True:
        second = chance.random() * 7 * _DAY_S
        if chance.random() < 0.6 - 0.4 * math.cos(second / _DAY_S * 2 * math.pi):
            return _BEGAN_AT + second


def _request(chance: random.Random, at: float, path: str = "", agent: str = "") -> str:
    client = f"198.51.{chance.randrange(4)}.{min(254, int(chance.expovariate(0.02)))}"
    path = path or chance.choice((*_PATHS, f"/blog/{chance.randrange(300)}"))
    status = chance.choices([200, 304, 404, 500], [85, 8, 6, 1])[0]
    size = "-" if status == 304 else int(chance.lognormvariate(9, 1))
    when = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(at))
    method = chance.choices(["GET", "POST", "HEAD"], [90, 8, 2])[0]
    referrer, agent = chance.choice(_REFERRERS), agent or chance.choice(_AGENTS)
    took = f"{chance.lognormvariate(-3, 1):.3f}"
    said = f'"{method} {path} HTTP/1.1" {status} {size} "{referrer}" "{agent}" {took}'
    return f"{client} - - [{when}] {said}"


# ---- images

_SITE = "https://gallery.example/"
_ALTS = (
    "The harbour at dawn",
    "",
    "A ferry between two islands, seen from the old lighthouse",
    "Map",
)


def images(folder: Path, pictures: int = 40) -> Path:
    """The contact sheet of a small gallery."""
    chance, rows = random.Random(3), []
    for number in range(pictures):
        width, height = chance.choice([(320, 240), (1600, 900), (200, 480), (64, 64), (900, 120)])
        form = chance.choice(["png", "jpeg", "webp"])
        file = _drawn(folder, chance, form, width, height)
        name = f"{_SITE}photos/{2020 + number % 5}/picture-{number:03}.{form}"
        page = f"{_SITE}albums/{number // 8}/"
        rows.append(_row(folder, name, page, chance.choice(_ALTS), file, form, width, height))
    return _sheet(folder, rows)


def images_without_pictures(folder: Path) -> Path:
    """The contact sheet of a site without a picture."""
    return _sheet(folder, [])


def images_hostile(folder: Path) -> Path:
    """The contact sheet of a site whose pages give their pictures scripts as names and texts."""
    chance, rows = random.Random(4), []
    for words in (HOSTILE, LONG):
        file = _drawn(folder, chance, "png", 300, 200)
        rows.append(
            _row(folder, f"{_SITE}{words}.png", f"{_SITE}{words}", words, file, "png", 1, 1)
        )
    return _sheet(folder, rows)


def _drawn(folder: Path, chance: random.Random, form: str, width: int, height: int) -> str:
    shades = [tuple(chance.randrange(256) for _ in range(3)) for _ in range(5)]
    image = Image.new("RGB", (width, height), shades[0])
    pen = ImageDraw.Draw(image)
    for shade in shades[1:]:
        x, y, size = chance.randrange(width), chance.randrange(height), max(width, height) // 4
        pen.ellipse((x - size, y - size, x + size, y + size), fill=shade)
    store = Store(folder)
    incoming = store.incoming()
    path = folder / ".drawn"
    image.save(path, form)
    incoming.write(path.read_bytes())
    file = incoming.keep(form)
    if thumbnails.is_wanted(form, path.stat().st_size, width, height):
        thumbnails.make(store, file)
    return file


def _row(
    folder: Path, url: str, page: str, alt: str, file: str, form: str, width: int, height: int
) -> tuple[Any, Any]:
    site = Site(start=_SITE, run="1", hosts=["gallery.example"], out=str(folder))
    payload = {"kind": "image", "url": url, "site": site.packed(), "page": page, "alt": alt}
    size = (folder / file).stat().st_size
    what = {"file": file, "type": form, "bytes": size, "width": width, "height": height}
    return payload, what


def _sheet(folder: Path, rows: list[tuple[Any, Any]]) -> Path:
    write_index(str(folder), rows, "jsonl", whole=True)
    return write_sheet(str(folder))
