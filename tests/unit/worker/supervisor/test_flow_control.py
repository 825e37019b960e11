"""What is asked of the master: as much as there is room for, and nothing twice."""

from __future__ import annotations

from worker.supervisor.flow_control import Demand, FlowControl, Room


def test_room_is_asked_for_once() -> None:
    """What was asked for and has not come is not asked for again."""
    flow = FlowControl()
    assert flow.has_news(Room(3, 3, False))
    assert flow.tell(Room(3, 3, False)) == Demand(3, False, 3, 0)
    assert not flow.has_news(Room(3, 3, False))
    assert flow.tell(Room(3, 3, False)).want == 0
    assert flow.tell(Room(5, 3, False)).want == 2


def test_what_came_is_asked_for_again_when_there_is_room() -> None:
    flow = FlowControl()
    flow.tell(Room(2, 2, False))
    flow.received(2)
    assert not flow.has_news(Room(0, 0, False))
    assert flow.has_news(Room(1, 1, False))
    assert flow.tell(Room(1, 1, False)) == Demand(1, False, 1, 2)


def test_more_than_was_asked_for_is_no_debt() -> None:
    """Limited leases come for free places, whatever was asked for."""
    flow = FlowControl()
    flow.tell(Room(1, 4, False))
    flow.received(4)
    assert flow.tell(Room(1, 1, False)).want == 1


def test_too_many_leases_are_no_negative_demand() -> None:
    flow = FlowControl()
    assert not flow.has_news(Room(-3, 0, False))
    assert flow.tell(Room(-3, 0, False)).want == 0
    assert flow.tell(Room(2, 0, False)).want == 2


def test_places_are_news_only_where_the_master_believes_in_fewer() -> None:
    """It counts one less for each lease that it has sent; what it has sent may be on its way."""
    flow = FlowControl()
    flow.tell(Room(0, 4, False))
    assert not flow.has_news(Room(0, 4, False))
    assert not flow.has_news(Room(0, 2, False))
    flow.received(3)
    assert not flow.has_news(Room(0, 1, False))
    assert flow.has_news(Room(0, 2, False))
    flow.received(3)
    assert flow.has_news(Room(0, 1, False))
    assert not flow.has_news(Room(0, 0, False))


def test_a_drain_is_told_once_and_asks_for_nothing() -> None:
    flow = FlowControl()
    assert flow.has_news(Room(2, 0, True))
    assert flow.tell(Room(2, 0, True)) == Demand(0, True, 0, 0)
    assert not flow.has_news(Room(2, 0, True))


def test_a_new_session_knows_nothing() -> None:
    """Neither what was asked for, nor what came, nor that a lease was refused."""
    flow = FlowControl()
    flow.tell(Room(2, 2, True))
    flow.received(1)
    flow.refused = True
    flow.begin_session()
    assert not flow.refused
    assert flow.has_news(Room(2, 2, False))
    assert flow.tell(Room(2, 2, False)) == Demand(2, False, 2, 0)
