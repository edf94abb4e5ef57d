from typing import Any

from benchmarks.rolling_restart import MIN_ANSWERS, restart_in_turn


def test_no_request_fails_while_each_process_is_restarted(service: Any, trained: Any) -> None:
    seen = restart_in_turn("flats", trained.rows[1], data=service.data)
    assert seen.failures == []
    assert len(seen.servers) == 2
    assert len(seen.seconds) >= MIN_ANSWERS
