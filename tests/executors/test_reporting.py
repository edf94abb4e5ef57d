import time
from pathlib import Path

import pytest

from models.executors.local import (
    REPORT_SECONDS,
    Channel,
    Listener,
    Teller,
    tell,
)


@pytest.fixture
def channel(tmp_path: Path) -> Channel:
    return Channel(str(tmp_path / "1"))


def test_outside_a_task_nothing_is_told() -> None:
    assert tell("hello") is False


def test_reports_travel_in_batches(channel: Channel) -> None:
    teller, listener = Teller(channel), Listener(channel)
    batches = 0
    begin = time.monotonic()
    for number in range(1000):
        teller.tell(number)
        batches += bool(listener.read())
    teller.close()
    batches += bool(listener.read())
    assert batches <= (time.monotonic() - begin) / REPORT_SECONDS + 2


def test_a_batch_is_read_when_all_of_it_is_there(channel: Channel) -> None:
    teller = Teller(channel)
    teller.tell("first")
    teller.tell("second")
    teller.close()
    whole = channel.reports.read_bytes()
    listener = Listener(channel)
    seen = []
    for end in range(len(whole) + 1):
        channel.reports.write_bytes(whole[:end])
        seen += listener.read()
    assert seen == ["first", "second"]


def test_a_task_is_asked_to_stop_and_leaves_no_file(channel: Channel) -> None:
    other = Channel(f"{channel.path}1")
    channel.stop.touch()
    other.stop.touch()
    teller = Teller(channel)
    assert teller.tell("hello") is True
    teller.close()
    channel.remove()
    assert list(channel.stop.parent.iterdir()) == [other.stop]


def test_a_disk_that_refuses_ends_the_reports_and_not_the_task(tmp_path: Path) -> None:
    channel = Channel(str(tmp_path / "gone" / "1"))
    teller = Teller(channel)
    assert teller.tell("first") is False
    (tmp_path / "gone").mkdir()
    teller.tell("second")
    teller.close()
    assert Listener(channel).read() == []
