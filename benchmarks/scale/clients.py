"""An API with many connections that stay open, and some clients that never come to an end."""

import asyncio
import statistics
import time
from dataclasses import dataclass, field

_CALL = "GET /tune?limit=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
_LEAST_CALLS = 20  # for a p99 at all
_PAUSE = 1.0  # seconds between two calls of a kept connection
_SLOW = (
    b"POST /tune HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: 999\r\n\r\n{"
)


@dataclass(slots=True)
class Crowd:
    """What clients saw: seconds of the calls of those in a hurry, and failures of anyone."""

    times: list[float] = field(default_factory=list)
    kept: int = 0  # calls over kept connections
    failures: int = 0

    @property
    def p99(self) -> float:
        """Seconds that one call of a hundred exceeds."""
        return statistics.quantiles(self.times, n=100)[98]

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.times)


def measure(host: str, port: int, kept: int, slow: int, hurried: int, seconds: float) -> Crowd:
    """Let `hurried` clients call without a pause, beside kept and slow connections."""
    return asyncio.run(_measure(host, port, kept, slow, hurried, seconds))


async def _measure(
    host: str, port: int, kept: int, slow: int, hurried: int, seconds: float
) -> Crowd:
    crowd = Crowd()
    end = time.perf_counter() + seconds
    where = (host, port, end, crowd)
    others = [_kept(*where, _PAUSE * n / max(1, kept)) for n in range(kept)]
    others += [_slow(*where) for _ in range(slow)]
    await asyncio.gather(*others, *(_hurried(*where) for _ in range(hurried)))
    if len(crowd.times) < _LEAST_CALLS:
        raise RuntimeError(f"{len(crowd.times)} calls were answered, {crowd.failures} failed.")
    return crowd


async def _kept(host: str, port: int, end: float, crowd: Crowd, first: float) -> None:
    """Call once a second over one connection."""
    reader, writer = await asyncio.open_connection(host, port)
    await asyncio.sleep(first)
    while time.perf_counter() < end:
        if await _call(reader, writer):
            crowd.kept += 1
        else:
            crowd.failures += 1
            break
        await asyncio.sleep(_PAUSE)
    writer.close()


async def _hurried(host: str, port: int, end: float, crowd: Crowd) -> None:
    """Call over one connection, again and again."""
    reader, writer = await asyncio.open_connection(host, port)
    while time.perf_counter() < end:
        started = time.perf_counter()
        if not await _call(reader, writer):
            crowd.failures += 1
            break
        crowd.times.append(time.perf_counter() - started)
    writer.close()


async def _slow(host: str, port: int, end: float, crowd: Crowd) -> None:
    """Send a request by single bytes, and never its end."""
    _, writer = await asyncio.open_connection(host, port)
    try:
        for byte in _SLOW + b" " * 900:
            if time.perf_counter() > end:
                break
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)
    except ConnectionError:  # the service may hang up on it
        pass
    writer.close()


async def _call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Send one request; return whether all of a good answer came."""
    try:
        writer.write(_CALL.encode())
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        length = next(line for line in lines if line.startswith("content-length:"))
        await reader.readexactly(int(length.partition(":")[2]))
    except (OSError, asyncio.IncompleteReadError, StopIteration):
        return False
    return " 200 " in head.decode().partition("\r\n")[0]
