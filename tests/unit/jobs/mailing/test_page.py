"""The page of a campaign: reasons in groups, and when messages were sent."""

from __future__ import annotations

from jobs.mailing.keep.notes import Trouble
from jobs.mailing.keep.page import Sums, page_of
from jobs.mailing.send.sending import UNKNOWN


def test_messages_of_unknown_fate_are_one_reason() -> None:
    troubles = [
        Trouble(f"{n}", f"{n}@x.example", "unknown", UNKNOWN.format(id=f"a{n}", run=2, task=n), 0.0)
        for n in range(5)
    ]
    page = page_of("spring", Sums(), troubles)
    reasons = page.partition("Why messages did not arrive")[2].partition("</table>")[0]
    assert reasons.count('<th scope="row"') == 1
    assert '<td class="n">5</td>' in reasons
    assert "word: qm retry RUN TASK --reason TEXT" in reasons


def test_a_campaign_of_one_minute_says_when_it_was() -> None:
    sums = Sums()
    sums.add("a@x.example", "sent", 1_800_000_000.0)
    says = "All messages that were sent went out within one minute: 2027-01-15 08:00."
    assert says in page_of("spring", sums, [])
    sums.add("b@x.example", "sent", 1_800_000_090.0)
    assert says not in page_of("spring", sums, [])
    assert "went out" not in page_of("spring", Sums(), [])
