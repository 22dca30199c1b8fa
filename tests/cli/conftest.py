"""Run the command in this process and in its own, with configured gateways and a gateway without a sandbox."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from payments_alipayhk.sandbox import Sandbox, make
from payments_core.cli import main

CANARY = "canary-7Qx-client-secret"
KEY = "canary-9Zp-webhook-key"


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> Any:
        return json.loads(self.err)["error"]


@pytest.fixture(autouse=True)
def nobody_is_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ignore the developer's environment and any payments.toml nearby."""
    for name in [name for name in os.environ if name.startswith("PAYMENTS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    def run_(*argv: object) -> Ran:
        code = main([str(word) for word in argv])
        return Ran(code, *capsys.readouterr())

    return run_


@pytest.fixture
def spawn() -> Callable[..., Ran]:
    def spawn_(*argv: object, stdin: bytes = b"", **environment: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "payments_core.cli", *map(str, argv)],
            input=stdin,
            capture_output=True,
            env=os.environ | environment,
            timeout=120,
            check=False,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    return spawn_


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with make(client_secret=CANARY, webhook_key=KEY) as running:
        yield running


@pytest.fixture
def write_toml() -> Callable[..., Path]:
    def write_toml_(path: Path, config: dict[str, str], name: str = "alipayhk", **more: str) -> Path:
        fields = {key: value for key, value in {**config, **more}.items() if value}
        path.write_text(f"[gateways.{name}]\n" + "".join(f"{key} = {json.dumps(fields[key])}\n" for key in fields))
        return path

    return write_toml_


@pytest.fixture
def toml(tmp_path: Path, sandbox: Sandbox, write_toml: Callable[..., Path]) -> Path:
    """Write a payments.toml for the sandbox into the current folder."""
    return write_toml(tmp_path / "payments.toml", sandbox.config)


@dataclass
class Calls:
    token: int = 0
    create: list[dict[str, Any]] = field(default_factory=list)
    query: list[dict[str, Any]] = field(default_factory=list)
    other: list[str] = field(default_factory=list)


class OtherGateway:
    """Serve CBTIS's API from the documentation's examples alone, and count the requests."""

    def __init__(self) -> None:
        self.calls = Calls()
        self.answers: dict[str, Any] = {}  # a path's ending: what to answer instead, a (status, data) pair or data
        self._orders: dict[str, dict[str, Any]] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path != "/mch-api/v1/auth":
                    outer.calls.other.append(path)
                    self.answer(404, {})
                    return
                outer.calls.token += 1
                self.answer(*outer.changed("auth", (200, {"access_token": "a1b2c3", "expires_in": 3600})))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert self.headers["Authorization"] == "Bearer a1b2c3"
                name = self.path.rpartition("/")[2]
                self.answer(*outer.changed(name, (200, outer.envelope(self.path, body))))

            def answer(self, status: int, data: Any) -> None:
                content = json.dumps(data).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *args: object) -> None:
                pass  # a command that was interrupted has hung up

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def changed(self, name: str, usual: tuple[int, Any]) -> tuple[int, Any]:
        return self.answers.get(name, usual)

    def envelope(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path == "/mch-api/v1/pa/payment_intents/create":
            self.calls.create.append(body)
            data = {
                "order_id": "C991289984923795789123",
                **{name: body[name] for name in ("merchant_order_id", "amount", "currency")},
                "create_time": "2023-08-31T04:44:05.928696203+08:00",
                "status": "PENDING",
            }
            self._orders[data["order_id"]] = self._orders[data["merchant_order_id"]] = data
            data = {**data, "next_action": {"type": "redirect", "url": "https://a.payment.link/code"}}
        elif path == "/mch-api/v1/pa/payment_intents/query":
            self.calls.query.append(body)
            data = self._orders[body.get("merchant_order_id") or body["order_id"]]
        else:
            self.calls.other.append(path)
            return {"code": 1, "message": "no such call", "rid": "r0"}
        return {"code": 0, "data": data, "message": "ok", "rid": "3647575c0e1049439e484a231864da2c"}

    @property
    def config(self) -> dict[str, str]:
        return {"base_url": self.url, "uid": "39172931", "client_secret": CANARY, "webhook_key": KEY}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@pytest.fixture
def elsewhere() -> Iterator[OtherGateway]:
    server = OtherGateway()
    yield server
    server.close()


@pytest.fixture
def distribution(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder that holds an installed distribution, to put on the path."""

    def distribution_(name: str, source: str, **groups: str) -> Path:
        folder = tmp_path / "site"
        info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (folder / f"{name.replace('-', '_')}.py").write_text(source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        entries = "".join(f"[payments_core.{group}]\n{entry}\n\n" for group, entry in groups.items())
        (info / "entry_points.txt").write_text(entries)
        return folder

    return distribution_


@pytest.fixture
def postcard_and_hush(monkeypatch: pytest.MonkeyPatch, distribution: Callable[..., Path]) -> ModuleType:
    """Install a gateway with unsigned notifications and one without notifications; return their module."""
    site = distribution(
        "payments-postcard",
        (Path(__file__).parent / "plugins" / "payments_postcard.py").read_text(),
        providers="postcard = payments_postcard:Postcard\nhush = payments_postcard:Hush",
        sandboxes="postcard = payments_postcard:make_postcard\nhush = payments_postcard:make_hush",
    )
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "payments_postcard", raising=False)
    return importlib.import_module("payments_postcard")
