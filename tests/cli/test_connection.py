"""The commands follow a gateway's proxy and CA file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import certifi

from payments_core.cli.configured import default_gateway

STATUS = ("status", "alipayhk", "--order-id", "A1")


def test_section_with_ca_file_opens(run: Any, sandbox: Any, tmp_path: Path, write_toml: Any) -> None:
    write_toml(tmp_path / "payments.toml", sandbox.config, ca_file=certifi.where())
    assert "ca_file" not in run(*STATUS).err
    assert [request.path for request in sandbox.received][-1].endswith("/query")
    write_toml(tmp_path / "payments.toml", sandbox.config, ca_file="/nonexistent")
    assert "ca_file names cannot be read" in run(*STATUS).err


def test_section_with_proxy_goes_through_it(run: Any, elsewhere: Any, tmp_path: Path, write_toml: Any) -> None:
    """The other gateway stands where the proxy is, and nobody at base_url."""
    config = elsewhere.config | {"base_url": "http://127.0.0.1:9"}
    write_toml(tmp_path / "payments.toml", config, proxy=elsewhere.url)
    run(*STATUS)
    assert elsewhere.calls.other == ["http://127.0.0.1:9/mch-api/v1/auth"]


def test_file_with_byte_order_mark_names_its_gateway(tmp_path: Path, write_toml: Any) -> None:
    file = write_toml(tmp_path / "marked.toml", {"provider": "alipayhk"}, name="kowloon")
    file.write_text(file.read_text("utf-8"), "utf-8-sig")
    assert default_gateway(file, "") == "kowloon"
