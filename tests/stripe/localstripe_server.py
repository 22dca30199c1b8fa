"""Serve localstripe on this machine alone: `python tests/stripe/localstripe_server.py` prints its address.

It serves until stdin ends. By itself localstripe binds every interface and pickles its state into a fixed file.
`POST /_config/seed/{seed}` makes the ids and times that follow repeatable. It is GPL: a program of its own, which only
tests start.

One field is added to its answers: `amount_received` of a PaymentIntent, which Stripe documents and localstripe lacks.
It is the amount that localstripe itself captured.
"""

import asyncio
import os
import random
import socket
import sys
import threading
import types

from aiohttp import web
from localstripe import resources, server

MOMENT = 1793534400  # 2026-11-01T12:00:00Z


def forget(_store: object) -> None:
    """Instead of the pickle."""


async def seed(request: web.Request) -> web.Response:
    random.seed(request.match_info["seed"])
    resources.time = types.SimpleNamespace(time=lambda: MOMENT)
    return web.Response()


def add_amount_received() -> None:
    """Give PaymentIntents the field `amount_received` (docs.stripe.com/api/payment_intents/object)."""
    capture = resources.Charge._capture

    def captured(charge: object, amount: object, **more: object) -> None:
        capture(charge, amount, **more)
        charge._amount_captured = charge.amount if amount is None else int(amount)

    def amount_received(intent: object) -> int:
        charge = intent.latest_charge
        return getattr(charge, "_amount_captured", charge.amount) if intent.status == "succeeded" else 0

    resources.Charge._capture = captured
    resources.PaymentIntent.amount_received = property(amount_received)


async def serve() -> None:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server.app.router.add_post("/_config/seed/{seed}", seed)
    runner = web.AppRunner(server.app)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


def end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    resources.Store.dump_to_disk = forget
    add_amount_received()
    threading.Thread(target=end_with_stdin, daemon=True).start()
    asyncio.run(serve())
