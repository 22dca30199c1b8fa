"""Deliver notifications to addresses on this machine, with retries along a gateway's schedule."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

__all__ = ["Courier", "Delivery", "Message", "is_loopback", "status_of"]

_KEPT: Final = 10_000

Headers = Sequence[tuple[str, str]]


def is_loopback(url: str) -> bool:
    """Return True if a URL's host is this machine, by name or number; no resolver is asked."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Message:
    """A notification that can be delivered any number of times.

    * `subject`: the gateway's id of its charge or refund
    * `kind`: the gateway's word for what happened
    * `url`: the address to deliver it to, `""` for nowhere
    * `body`: the raw body
    * `sign`: returns the headers, with the signature; called for each delivery, because a time may be signed
    """

    subject: str
    kind: str
    url: str
    body: bytes
    sign: Callable[[bytes], Headers]


@dataclass(frozen=True)
class Delivery:
    """A delivery that was made or attempted.

    * `subject`: the gateway's id of its charge or refund
    * `kind`: the gateway's word for what happened
    * `url`: the address it was sent to
    * `body`: the body that was sent
    * `attempt`: its number in the schedule, from 1; 0 for one sent by hand
    * `monotonic`: its time, by the monotonic clock
    * `status`: the HTTP status answered, None without an answer
    * `acknowledged`: True if that ends the schedule
    * `problem`: the reason why there was no answer, or `""`
    """

    subject: str
    kind: str
    url: str
    body: str
    attempt: int
    monotonic: float
    status: int | None
    acknowledged: bool
    problem: str


def status_of(delivery: Future[Delivery]) -> int | None:
    """Wait for a delivery and return the HTTP status of its answer, or None if none came or the courier is closed."""
    try:
        return delivery.result().status
    except CancelledError:
        return None


class Courier:
    """Deliver messages from one background thread; `close()` ends every wait and every delivery at once.

    * `delays`: the seconds between a delivery that was not acknowledged and the next, multiplied by `time_scale`
    * `acknowledges`: returns True for a status that ends the deliveries
    * `ack_timeout`: the seconds to wait for an answer, not scaled
    * `allow_external`: call other machines too; an emulator must not send traffic to strangers by default
    """

    def __init__(
        self,
        delays: Sequence[float] = (),
        *,
        acknowledges: Callable[[int], bool] = lambda status: 200 <= status < 300,
        time_scale: float = 1.0,
        ack_timeout: float = 5.0,
        allow_external: bool = False,
    ) -> None:
        if time_scale < 0 or ack_timeout <= 0:
            raise ValueError("time_scale must be 0 or more, and ack_timeout above 0")
        self._delays = tuple(delays)
        self._acknowledges = acknowledges
        self._time_scale = time_scale
        self._ack_timeout = ack_timeout
        self._allow_external = allow_external
        self._lock = threading.Lock()
        self._made: deque[Delivery] = deque(maxlen=_KEPT)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """Return the deliveries and their answers, oldest first."""
        with self._lock:
            return tuple(self._made)

    def begin(self, message: Message) -> Future[Delivery]:
        """Deliver until it is acknowledged, along the schedule; return a future of the first delivery."""
        first: Future[Delivery] = Future()
        self._run(self._schedule(message, first), first)
        return first

    def send(self, message: Message) -> Future[Delivery]:
        """Deliver once, now, outside the schedule."""
        made: Future[Delivery] = Future()
        self._run(self._once(message, made), made)
        return made

    def _run(self, work: Coroutine[Any, Any, None], made: Future[Delivery]) -> None:
        with self._lock:
            if self._closed:
                work.close()
                made.cancel()
                return
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop,), name="sandbox-notifications", daemon=True
                )
                self._thread.start()
            self._loop.call_soon_threadsafe(self._spawn, self._loop, work, made)

    def _spawn(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None], made: Future[Delivery]) -> None:
        if self._closed:
            work.close()
            made.cancel()
            return
        task = loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Nobody may wait for a delivery that close() prevented.
        task.add_done_callback(lambda _: made.cancel())

    async def _schedule(self, message: Message, first: Future[Delivery]) -> None:
        for attempt, delay in enumerate((0, *self._delays), start=1):
            await asyncio.sleep(delay * self._time_scale)
            delivery = await self._deliver_to(message, attempt, first if attempt == 1 else None)
            if delivery is None or delivery.acknowledged or not self._may_call(message.url):
                return

    async def _once(self, message: Message, made: Future[Delivery]) -> None:
        await self._deliver_to(message, 0, made)

    async def _deliver_to(self, message: Message, attempt: int, waited_for: Future[Delivery] | None) -> Delivery | None:
        delivery, error = None, None
        try:
            delivery = await self._deliver(message, attempt)
        except Exception as exc:  # noqa: BLE001 - of `sign`, which is the sandbox's: whoever waits is told
            error = exc
        if waited_for is not None and waited_for.set_running_or_notify_cancel():
            if delivery is None:
                waited_for.set_exception(error)
            else:
                waited_for.set_result(delivery)
        return delivery

    async def _deliver(self, message: Message, attempt: int) -> Delivery:
        began, status, problem = time.monotonic(), None, ""
        if not self._may_call(message.url):
            problem = "not sent: the address is not on loopback" if message.url else "not sent: there is no address"
        else:
            try:
                status = await _post(message, self._ack_timeout)
            except TimeoutError:
                problem = f"no answer within {self._ack_timeout:g} s"
            except (OSError, ValueError) as error:
                problem = f"no HTTP answer: {type(error).__name__}"
        delivery = Delivery(
            message.subject,
            message.kind,
            message.url,
            message.body.decode(),
            attempt,
            began,
            status,
            status is not None and self._acknowledges(status),
            problem,
        )
        with self._lock:
            self._made.append(delivery)
        return delivery

    def _may_call(self, url: str) -> bool:
        return bool(url) and (self._allow_external or is_loopback(url))

    def close(self) -> None:
        """Stop at once; undelivered messages are dropped."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
        if loop is not None and thread is not None and thread.is_alive():
            loop.call_soon_threadsafe(loop.stop)
            thread.join(5)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
        loop.run_until_complete(_cancel_all())
    finally:
        loop.close()


async def _cancel_all() -> None:
    running = asyncio.all_tasks() - {asyncio.current_task()}
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def _post(message: Message, ack_timeout: float) -> int:
    """Return the status answered. Nothing after the status line is parsed."""
    url = urlsplit(message.url)
    secure = url.scheme == "https"
    port = url.port or (443 if secure else 80)
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(ack_timeout):
            reader, writer = await asyncio.open_connection(url.hostname, port, ssl=True if secure else None)
            writer.write(_head(message, url) + message.body)
            await writer.drain()
            status = await _final_status(reader)
        with contextlib.suppress(OSError):
            async with asyncio.timeout(0.5):  # a shop that is still writing its body should not see a reset
                while await reader.read(65536):
                    pass
        return status
    finally:
        if writer is not None:
            writer.transport.abort()


def _head(message: Message, url: SplitResult) -> bytes:
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    lines = [f"POST {target} HTTP/1.1", f"Host: {url.netloc.rpartition('@')[2]}"]
    lines += [f"{name}: {value}" for name, value in message.sign(message.body)]
    lines += [f"Content-Length: {len(message.body)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("ascii")


async def _final_status(reader: asyncio.StreamReader) -> int:
    while True:
        version, _, rest = (await reader.readline()).decode("latin-1").partition(" ")
        if not version.startswith("HTTP/1.") or not (rest[:3].isascii() and rest[:3].isdigit()):
            raise ValueError("not an HTTP status line")
        status = int(rest[:3])
        if status >= 200:
            return status
        while (await reader.readline()).strip():  # an interim answer, such as 103: its headers
            pass
