"""`payments webhook verify` and `payments webhook sign`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from payments_alipayhk import AlipayHKProvider

BODY = b'{"notify_type":"payment_success","data":{"order_id":"C99","merchant_order_id":"A1"}}'


@pytest.fixture
def body(tmp_path: Path) -> Path:
    file = tmp_path / "body.json"
    file.write_bytes(BODY)
    return file


def genuine(sandbox: Any, content: bytes = BODY) -> str:
    key = sandbox.config["webhook_key"].encode()
    return f"Signature: {hashlib.sha256(content + b'.' + key).hexdigest()}"


def test_verify_reads_a_genuine_notification(run: Any, toml: Path, sandbox: Any, body: Path) -> None:
    ran = run("webhook", "verify", "alipayhk", "--body", body, "--header", genuine(sandbox), "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["verified"] is True
    (event,) = ran.json["events"]
    assert event["reference"] == {"order_id": "A1", "provider_id": "C99"}
    assert (event["subject"], event["authoritative"], event["charge"]) == ("CHARGE", False, None)
    said = run("webhook", "verify", "alipayhk", "--body", body, "--header", genuine(sandbox)).out
    assert "verified" in said
    assert "nothing about the money" in said


def test_verify_reads_headers_from_a_file(run: Any, toml: Path, sandbox: Any, body: Path, tmp_path: Path) -> None:
    """A gateway that sends a fixed password in a header would have it in the process list otherwise."""
    headers = tmp_path / "headers"
    headers.write_text(f"Content-Type: application/json\r\n\r\n{genuine(sandbox)}\r\n")
    assert run("webhook", "verify", "alipayhk", "--body", body, "--header", f"@{headers}").code == 0


def test_verify_reads_stdin_byte_for_byte(spawn: Any, toml: Path, sandbox: Any) -> None:
    for content in (BODY, BODY + b"\n", BODY.replace(b":", b": ")):
        words = (
            "webhook",
            "verify",
            "alipayhk",
            "--config",
            toml,
            "--body",
            "-",
            "--header",
            genuine(sandbox, content),
        )
        assert spawn(*words, stdin=content).code == 0
        assert spawn(*words, stdin=content + b" ").code == 9


def test_verify_refuses_a_forged_notification(run: Any, toml: Path, sandbox: Any, body: Path) -> None:
    body.write_bytes(BODY.replace(b"A1", b"A2"))
    ran = run("webhook", "verify", "alipayhk", "--body", body, "--header", genuine(sandbox), "--json")
    assert (ran.code, ran.out) == (9, "")
    assert (ran.error["kind"], ran.error["reason"]) == ("WebhookRejected", "signature")
    assert genuine(sandbox, body.read_bytes()) not in ran.err, "nobody is told what it should have been"


def test_verify_refuses_a_missing_or_doubled_signature(run: Any, toml: Path, sandbox: Any, body: Path) -> None:
    header = ("--header", genuine(sandbox))
    assert run("webhook", "verify", "alipayhk", "--body", body).code == 9
    assert run("webhook", "verify", "alipayhk", "--body", body, *header, *header).code == 9


def test_verify_refuses_a_body_over_the_limit_as_malformed(run: Any, toml: Path, sandbox: Any, body: Path) -> None:
    body.write_bytes(b" " * 300_000 + BODY)
    ran = run(
        "webhook", "verify", "alipayhk", "--body", body, "--header", genuine(sandbox, body.read_bytes()), "--json"
    )
    assert (ran.code, ran.error["reason"]) == (9, "malformed")


def test_verify_names_an_invalid_header_and_a_missing_file(run: Any, toml: Path, body: Path) -> None:
    assert run("webhook", "verify", "alipayhk", "--body", body, "--header", "Signature").code == 2
    ran = run("webhook", "verify", "alipayhk", "--body", "nowhere.json")
    assert ran.code == 2
    assert "nowhere.json cannot be read: No such file" in ran.err


def test_signed_body_is_verified(run: Any, toml: Path, body: Path) -> None:
    header = run("webhook", "sign", "alipayhk", "--body", body).out.strip()
    assert header.startswith("Signature: ")
    assert run("webhook", "verify", "alipayhk", "--body", body, "--header", header).code == 0
    as_json = run("webhook", "sign", "alipayhk", "--body", body, "--json").json
    assert [f"{name}: {value}" for name, value in as_json["headers"]] == [header]


def test_sign_matches_the_published_vector(
    spawn: Any, toml: Path, sandbox: Any, write_toml: Any, tmp_path: Path
) -> None:
    published = (
        b'{"notify_type":"refund_success","data":{"uid":39172931,"refund_id":"C34368224017070000",'
        b'"merchant_refund_id":"P2164521756312637123","order_amount":"105.00",'
        b'"create_time":"2023-08-23T18:25:43.511Z","refund_time":"2023-08-23T18:28:16.511Z"}}'
    )
    key = "6d0e8fa7b10c40c3a48c0c2be41cb178"
    file = write_toml(tmp_path / "vector.toml", {**sandbox.config, "webhook_key": key})
    ran = spawn("webhook", "sign", "alipayhk", "--config", file, "--body", "-", stdin=published)
    assert ran.out == "Signature: 3ce5a54d8a76590179f0f4192a6c0efddf20e118966b6276b1bfbbc0b33f362a\n"


def test_sign_without_sandbox_support_is_unsupported(
    run: Any, toml: Path, body: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("payments_alipayhk.sandbox.make.sign")
    ran = run("webhook", "sign", "alipayhk", "--body", body, "--json")
    assert (ran.code, ran.error["kind"]) == (4, "UnsupportedOperation")


def test_sign_refuses_a_gateway_that_may_move_money(
    run: Any, tmp_path: Path, sandbox: Any, write_toml: Any, body: Path
) -> None:
    """A sandbox says that it moves none, by its address; an address elsewhere says nothing."""
    write_toml(tmp_path / "payments.toml", {**sandbox.config, "base_url": "https://pay.example"})
    ran = run("webhook", "sign", "alipayhk", "--body", body, "--json")
    assert (ran.code, ran.out) == (4, "")
    assert "base_url is not on this machine" in ran.error["message"]
    assert "payments sandbox alipayhk" in ran.error["next"]


@pytest.mark.parametrize("base_url", ["https://pay.example", "http://127.0.0.1:8801"])
def test_sign_refuses_a_live_key_at_any_base_url(
    run: Any, tmp_path: Path, sandbox: Any, write_toml: Any, body: Path, monkeypatch: pytest.MonkeyPatch, base_url: str
) -> None:
    write_toml(tmp_path / "payments.toml", {**sandbox.config, "base_url": base_url})
    monkeypatch.setattr(AlipayHKProvider, "info", structs.replace(AlipayHKProvider.info, moves_money=True))
    ran = run("webhook", "sign", "alipayhk", "--body", body, "--json")
    assert (ran.code, ran.out) == (4, "")
    assert "moves real money" in ran.error["message"]


def test_sign_accepts_a_remote_test_account(
    run: Any, tmp_path: Path, sandbox: Any, write_toml: Any, body: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_toml(tmp_path / "payments.toml", {**sandbox.config, "base_url": "https://pay.example"})
    monkeypatch.setattr(AlipayHKProvider, "info", structs.replace(AlipayHKProvider.info, moves_money=False))
    assert run("webhook", "sign", "alipayhk", "--body", body).out.startswith("Signature: ")
