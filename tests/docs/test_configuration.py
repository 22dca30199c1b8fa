"""docs/configuration.md cannot drift: its file opens, its variables do what it says, its flags are the error's."""

import re
import sys
from pathlib import Path

import certifi
import pytest

from payments_core import ConfigurationError, Gateway, ProviderNotFound

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "configuration.md").read_text("utf-8")


@pytest.fixture
def page_toml(monkeypatch, tmp_path):
    """Write the page's payments.toml into the current folder, with the files that it names."""
    (block,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for name in re.findall(r'"(/run/secrets/\w+)"', block):
        secret = tmp_path / Path(name).name
        secret.write_text("http://proxy.internal:3128\n" if name.endswith("proxy_url") else "made-up\n")
        block = block.replace(name, str(secret))
    (tmp_path / "payments.toml").write_text(block.replace("/etc/ssl/company-ca.pem", certifi.where()))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "payments.toml"


def test_the_file_of_the_page_opens_two_gateways(page_toml, monkeypatch):
    for name, uid in (("alipayhk", "39172931"), ("kowloon", "39172932")):
        with Gateway.open(name) as gateway:
            assert gateway._provider._config.uid == uid
    (variable,) = set(re.findall(r"PAYMENTS_KOWLOON_UID", PAGE))
    monkeypatch.setenv(variable, "1")
    with Gateway.open("kowloon") as gateway:
        assert gateway._provider._config.uid == "1"


def test_every_variable_of_the_page_is_accepted_or_ignored(page_toml, monkeypatch, tmp_path):
    variables = set(re.findall(r"PAYMENTS_KOWLOON_[A-Z_]*[A-Z]", PAGE))
    assert {"PAYMENTS_KOWLOON_PROXY", "PAYMENTS_KOWLOON_SERVICE_HOST"} < variables
    (tmp_path / "key").write_text("made-up")
    (tmp_path / "url").write_text("http://proxy.internal:3128")
    values = {"PROVIDER": "alipayhk", "CA_FILE": certifi.where(), "PORT": "tcp://10.0.3.7:80"}
    values |= {"PROXY": "http://proxy.internal:3128", "PROXY_FILE": str(tmp_path / "url")}
    values |= {"WEBHOOK_KEY_FILE": str(tmp_path / "key")}
    for variable in variables:
        with monkeypatch.context() as patch:
            patch.setenv(variable, values.get(variable.removeprefix("PAYMENTS_KOWLOON_"), "1"))
            Gateway.open("kowloon").close()


def test_names_that_share_a_beginning_do_as_the_page_says(monkeypatch, tmp_path):
    key, uid = dict.fromkeys(re.findall(r"PAYMENTS_A_PREVIOUS_\w+", PAGE))
    monkeypatch.chdir(tmp_path)
    for field in ("CLIENT_SECRET", "WEBHOOK_KEY", "UID"):
        monkeypatch.setenv(f"PAYMENTS_A_{field}", "made-up")
    monkeypatch.setenv("PAYMENTS_A_PROVIDER", "alipayhk")
    monkeypatch.setenv("PAYMENTS_A_BASE_URL", "https://gateway.example")
    for name in (key, uid):
        with monkeypatch.context() as patch:
            patch.setenv(name, "made-up-too")
            Gateway.open("a").close()
    monkeypatch.setenv(key, "made-up-too")
    with monkeypatch.context() as patch:
        patch.setenv(uid, "made-up-too")
        with pytest.raises(ConfigurationError, match="gateway a_previous"):
            Gateway.open("a")
    (section,) = re.findall(r"`(\[gateways\.a_previous\])`", PAGE)
    (tmp_path / "payments.toml").write_text(f'{section}\nprovider = "alipayhk"\n')
    with pytest.raises(ConfigurationError, match="gateway a_previous"):
        Gateway.open("a")


def test_the_flags_of_the_page_are_those_of_the_error(monkeypatch):
    (command,) = re.findall(r"^    pyinstaller (.*)$", PAGE, re.MULTILINE)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(ProviderNotFound) as caught:
        Gateway.open("nobody", {})
    flags = re.findall(r"--[\w-]+", command)
    assert len(flags) == 2
    assert all(flag in caught.value.message for flag in flags)
