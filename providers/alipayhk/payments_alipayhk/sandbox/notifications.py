"""Signed notifications, their ten deliveries, and the thread that makes them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import json
import threading
import time
from collections import deque
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

__all__ = ["RETRY_DELAYS", "Courier", "Delivery", "Message", "compose", "sign"]

# Source: WEB, "Notification": seconds between one delivery that was not acknowledged and the next.
RETRY_DELAYS: Final = (15, 30, 60, 300, 600, 1800, 3600, 7200, 14400)

_KEPT: Final = 10_000


def sign(body: bytes, key: str) -> str:
    """The documented `HEX(SHA256(body + "." + key))`, in lower case as in the example."""
    return hashlib.sha256(body + b"." + key.encode()).hexdigest()


@dataclass(frozen=True)
class Message:
    """A notification, ready to be delivered any number of times."""

    provider_id: str
    notify_type: str
    url: str
    body: bytes
    signature: str


def compose(provider_id: str, notify_type: str, url: str, data: Mapping[str, object], key: str) -> Message:
    """The notification as documented: compact JSON, signed over its bytes."""
    body = json.dumps({"notify_type": notify_type, "data": data}, separators=(",", ":"), ensure_ascii=False).encode()
    return Message(provider_id, notify_type, url, body, sign(body, key))


@dataclass(frozen=True)
class Delivery:
    """One delivery that was made, or could not be: `status` is None and `problem` says why.

    `attempt` counts 1 to 10 along the schedule, and is 0 for one sent by hand.
    """

    provider_id: str
    notify_type: str
    url: str
    body: str
    attempt: int
    monotonic: float
    status: int | None
    acknowledged: bool
    problem: str


class Courier:
    """Delivers messages from one background thread; `close()` ends every wait and every delivery at once."""

    def __init__(self, *, time_scale: float = 1.0, ack_timeout: float = 5.0, allow_external: bool = False) -> None:
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
        """What was delivered and what the listener answered, oldest first."""
        with self._lock:
            return tuple(self._made)

    def begin(self, message: Message) -> Future[Delivery]:
        """Deliver along the documented schedule; the future is of the first of the ten deliveries."""
        first: Future[Delivery] = Future()
        self._run(self._schedule(message, first), first)
        return first

    def send(self, message: Message) -> Future[Delivery]:
        """Deliver once, now, apart from any schedule."""
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
        # Whoever waits must not wait for a delivery that close() prevented.
        task.add_done_callback(lambda _: made.cancel())

    async def _schedule(self, message: Message, first: Future[Delivery]) -> None:
        for attempt, delay in enumerate((0, *RETRY_DELAYS), start=1):
            await asyncio.sleep(delay * self._time_scale)
            delivery = await self._deliver(message, attempt)
            if attempt == 1 and first.set_running_or_notify_cancel():
                first.set_result(delivery)
            if delivery.acknowledged or not self._may_call(message.url):
                return

    async def _once(self, message: Message, made: Future[Delivery]) -> None:
        delivery = await self._deliver(message, 0)
        if made.set_running_or_notify_cancel():
            made.set_result(delivery)

    async def _deliver(self, message: Message, attempt: int) -> Delivery:
        began, status, problem = time.monotonic(), None, ""
        if not self._may_call(message.url):
            problem = "not sent: the notify_url is not on loopback" if message.url else "not sent: no notify_url"
        else:
            try:
                status = await _post(message, self._ack_timeout)
            except TimeoutError:
                problem = f"no answer within {self._ack_timeout:g} s"
            except (OSError, ValueError) as error:
                problem = f"no HTTP answer: {type(error).__name__}"
        delivery = Delivery(
            message.provider_id,
            message.notify_type,
            message.url,
            message.body.decode(),
            attempt,
            began,
            status,
            status == 200,
            problem,
        )
        with self._lock:
            self._made.append(delivery)
        return delivery

    def _may_call(self, url: str) -> bool:
        # A local emulator must not be a way to send traffic to somebody else.
        return bool(url) and (self._allow_external or _is_loopback(urlsplit(url).hostname or ""))

    def close(self) -> None:
        """Stop at once; what was not delivered never will be."""
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


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _post(message: Message, ack_timeout: float) -> int:
    """The status that the listener answers. Only the status line counts, so nothing more is parsed."""
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
            async with asyncio.timeout(0.5):  # a listener still writing its body should not see a reset
                while await reader.read(65536):
                    pass
        return status
    finally:
        if writer is not None:
            writer.transport.abort()


def _head(message: Message, url: SplitResult) -> bytes:
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    return (
        f"POST {target} HTTP/1.1\r\nHost: {url.netloc.rpartition('@')[2]}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(message.body)}\r\n"
        f"Signature: {message.signature}\r\nConnection: close\r\n\r\n"
    ).encode("ascii")


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
