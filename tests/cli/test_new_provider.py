"""Test `payments new-provider`: all files or none, clean code, and tests that fail by name and closed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from payments_core import (
    AuthorizationRejected,
    ChargeRequest,
    Money,
    NotFound,
    PaymentStatus,
    Reference,
    Rejected,
    UnsupportedOperation,
    WebhookDelivery,
    WebhookRejected,
)
from payments_core.cli import main
from payments_core.testing.opening import open_provider

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "pyproject.toml"
FILES = [
    "README.md",
    "payments_octopus/__init__.py",
    "payments_octopus/config.py",
    "payments_octopus/mapping.py",
    "payments_octopus/provider.py",
    "payments_octopus/py.typed",
    "payments_octopus/sandbox/__init__.py",
    "payments_octopus/sandbox/app.py",
    "payments_octopus/sandbox/gateway.py",
    "payments_octopus/sandbox/local.py",
    "payments_octopus/sandbox/stories.py",
    "payments_octopus/webhook.py",
    "payments_octopus/wire.py",
    "pyproject.toml",
    "tests/test_cassettes.py",
    "tests/test_contract.py",
]
PARTS = ("token", "two-requests", "list", "refunds", "endpoint")
# A short name, a long one, one of several words, and those between which payments_core stands in an import block.
NAMES = ("x", "octopus", "aa-9", "core2", "a-rather-long-name-of-a-wallet")


def python(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# Files.


def test_it_makes_a_distribution_in_the_current_folder(run: Any, tmp_path: Path) -> None:
    ran = run("new-provider", "octopus")
    assert (ran.code, ran.err) == (0, "")
    assert "payments-octopus is in payments-octopus" in ran.out
    assert "pip install --editable 'payments-octopus[testing]'" in ran.out
    assert "docs/writing-a-provider.md" in ran.out
    assert [path.name for path in tmp_path.iterdir()] == ["payments-octopus"]
    assert files_in(tmp_path / "payments-octopus") == FILES


def test_with_json_a_program_learns_the_same(run: Any, tmp_path: Path) -> None:
    made = run("new-provider", "octopus", "--json").json
    assert made == {
        "id": "octopus",
        "distribution": "payments-octopus",
        "package": "payments_octopus",
        "provider": "payments_octopus.provider:OctopusProvider",
        "folder": str(tmp_path / "payments-octopus"),
        "files": FILES,
        "parts": ["token", "two-requests", "list", "refunds", "endpoint"],
        "next": ["pip install --editable 'payments-octopus[testing]'", "pytest payments-octopus/tests"],
    }


@pytest.mark.parametrize("name", ["lantern-pay", "lantern_pay"])
def test_a_name_of_two_words_has_all_its_forms(run: Any, tmp_path: Path, name: str) -> None:
    made = run("new-provider", name, "--json").json
    assert (made["id"], made["distribution"]) == ("lantern_pay", "payments-lantern-pay")
    assert "The provider's id is other_pay." in run("new-provider", "other-pay").out
    assert (made["package"], made["provider"]) == (
        "payments_lantern_pay",
        "payments_lantern_pay.provider:LanternPayProvider",
    )
    text = (tmp_path / "payments-lantern-pay" / "pyproject.toml").read_text()
    assert 'lantern_pay = "payments_lantern_pay.provider:LanternPayProvider"' in text
    assert "# Lantern Pay" not in text


def test_the_guide_is_printed(run: Any, tmp_path: Path) -> None:
    """All that a scaffold says leads to it, also where there is no clone."""
    ran = run("new-provider", "--guide")
    assert (ran.code, ran.out) == (0, (ROOT / "docs" / "writing-a-provider.md").read_text())
    assert "docs/writing-a-provider.md; beside it" in ran.err
    told = run("new-provider", "--guide", "--json").json
    assert Path(told["guide"]).read_text() == ran.out
    assert {Path(page).name for page in told["pages"]} >= {"hooks.md", "testing.md", "glossary.md"}
    assert list(tmp_path.iterdir()) == [], "and nothing is made"
    assert "--guide" in run("new-provider", "octopus").out
    assert "payments new-provider --guide" in (tmp_path / "payments-octopus" / "README.md").read_text()
    missing = run("new-provider", "--json")
    assert (missing.code, missing.error["message"]) == (2, "NAME is missing")


def test_no_place_for_a_name_is_left_empty(run: Any, tmp_path: Path) -> None:
    run("new-provider", "octopus")
    for name in FILES:
        assert "$" not in (tmp_path / "payments-octopus" / name).read_text(), name


@pytest.mark.parametrize("option", ["--output", "--into"])
def test_output_names_another_folder(run: Any, tmp_path: Path, option: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    assert run("new-provider", "octopus", option, "elsewhere").code == 0
    assert files_in(tmp_path / "elsewhere" / "payments-octopus") == FILES


def test_inside_this_repository_it_is_one_of_the_providers(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told by the pyproject.toml of payments-core, from any folder below it."""
    (tmp_path / "pyproject.toml").write_text(CONFIG.read_text())
    (tmp_path / "providers").mkdir()
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path / "docs")
    ran = run("new-provider", "lantern-pay")
    assert ran.code == 0
    assert "    cd ..\n    make setup\n    .venv/bin/pytest providers/lantern_pay/tests\n" in ran.out
    monkeypatch.chdir(tmp_path)
    assert "cd " not in run("new-provider", "lantern-too").out
    shutil.rmtree(tmp_path / "providers" / "lantern_too")
    assert files_in(tmp_path / "providers") == sorted(
        f"lantern_pay/{name.replace('octopus', 'lantern_pay')}" for name in FILES
    )
    assert "make setup" in ran.out


@pytest.mark.once
def test_inside_this_repository_its_tests_are_collected_with_all_others(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `make test`, which names no folder, and by the command that is printed."""
    (tmp_path / "pyproject.toml").write_text(CONFIG.read_text())
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_contract.py").write_text("def test_one(): ...\n")
    (tmp_path / "providers").mkdir()
    monkeypatch.chdir(tmp_path / "providers")
    made = run("new-provider", "kraken", "--json").json
    assert made["next"][0] == "cd .."
    printed = made["next"][2].split()
    assert printed[0] == ".venv/bin/pytest"
    for words in ([], printed[1:]):
        ran = python(
            "-m", "pytest", "--collect-only", "-q", *words, cwd=tmp_path,
            PYTHONPATH=str(tmp_path / "providers" / "kraken")
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout
        assert "tests/test_contract.py::TestKraken::" in ran.stdout
        assert "tests/test_cassettes.py::" in ran.stdout
        assert ("tests/test_contract.py::test_one" in ran.stdout) is (not words)


# Refusals.


@pytest.mark.parametrize(
    "name",
    ["", "Octopus", "9lives", "octo pus", "octo--pus", "-", "octopus-", "../octopus", "a" * 31, "écu", "octopus\n"],
)
def test_what_is_no_name_is_refused(run: Any, tmp_path: Path, name: str) -> None:
    ran = run("new-provider", "--json", "--", name)
    assert (ran.code, ran.error["kind"]) == (2, "Usage")
    assert "lower-case" in ran.error["message"]
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_nearly_one_is_suggested(run: Any) -> None:
    assert "payments new-provider ball" in run("new-provider", "8ball").err
    for name in ("", "8", "écu!", "-"):
        assert run("new-provider", "--json", "--", name).error["next"].startswith("For example: payments new-provider ")
    assert "payments new-provider acme-pay" in run("new-provider", "").err
    assert "payments new-provider octopus-card" in run("new-provider", "Octopus Card").err
    assert "payments new-provider octopus" in run("new-provider", "payments-octopus").err


def test_the_plugins_of_this_project_are_known_also_where_they_are_not_installed() -> None:
    """Another of that name would have their distribution's name. The tutorial's plugin is there to be made again."""
    own = (ROOT / "payments_core" / "cli" / "own_providers.txt").read_text().split()
    assert own == sorted(path.parent.name for path in ROOT.glob("providers/*/pyproject.toml"))


@pytest.mark.parametrize("name", ["stripe", "alipayhk"])
def test_their_names_are_refused_without_an_installation(run: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("payments_core.cli.new_provider._taken", lambda _: "")
    ran = run("new-provider", name, "--json")
    assert (ran.code, ran.error["message"]) == (
        2,
        f"the name {name} is taken: payments-{name} is a plugin of this project",
    )


@pytest.mark.parametrize("name", ["core", "fake", "payments", "alipayhk", "stripe", "lantern"])
def test_a_name_that_is_taken_is_refused(run: Any, tmp_path: Path, name: str) -> None:
    """By the framework, or by an installed provider: two of one name would both be unusable."""
    ran = run("new-provider", name, "--json")
    assert (ran.code, ran.error["kind"]) == (2, "Usage")
    assert "is taken" in ran.error["message"]
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_can_be_imported_is_not_hidden(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site" / "payments_octopus").mkdir(parents=True)
    (tmp_path / "site" / "payments_octopus" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "site")
    ran = run("new-provider", "octopus", "--json")
    assert (ran.code, ran.error["message"]) == (
        2,
        "the name octopus is taken: a package payments_octopus can be imported",
    )


def test_a_folder_that_is_there_is_left_alone(run: Any, tmp_path: Path) -> None:
    (tmp_path / "payments-octopus").mkdir()
    (tmp_path / "payments-octopus" / "mine").write_text("x")
    ran = run("new-provider", "octopus", "--json")
    assert (ran.code, ran.error["kind"]) == (1, "Failed")
    assert files_in(tmp_path) == ["payments-octopus/mine"]


def test_an_empty_folder_is_filled(run: Any, tmp_path: Path) -> None:
    (tmp_path / "payments-octopus").mkdir()
    assert run("new-provider", "octopus").code == 0
    assert files_in(tmp_path / "payments-octopus") == FILES


def test_a_file_in_the_folder_s_place_is_left_alone_also_by_force(run: Any, tmp_path: Path) -> None:
    (tmp_path / "payments-octopus").write_text("mine")
    ran = run("new-provider", "octopus", "--force", "--json")
    assert (ran.code, ran.error["next"]) == (1, "Nothing was written. Choose another name.")
    assert "is no folder" in ran.error["message"]
    assert (tmp_path / "payments-octopus").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_an_error_and_no_traceback(run: Any, tmp_path: Path) -> None:
    ran = run("new-provider", "octopus", "--into", tmp_path / "nowhere", "--json")
    assert (ran.code, ran.error["next"]) == (1, "Nothing was written.")


def test_nothing_half_written_is_left_behind(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full at the fifth file."""
    written = []
    real = Path.write_text

    def write(path: Path, *arguments: Any, **keywords: Any) -> int:
        written.append(path)
        if len(written) == 5:
            raise OSError(28, "No space left on device")
        return real(path, *arguments, **keywords)

    monkeypatch.setattr(Path, "write_text", write)
    ran = run("new-provider", "octopus", "--json")
    assert (ran.code, len(written)) == (1, 5)
    assert "No space left" in ran.error["message"]
    assert list(tmp_path.iterdir()) == []


# Parts.


def test_a_part_that_does_not_exist_is_refused(run: Any, tmp_path: Path) -> None:
    ran = run("new-provider", "octopus", "--without", "token,webhooks", "--json")
    assert (ran.code, ran.error["message"]) == (2, "there is no part webhooks")
    assert all(f"{part} (" in ran.error["next"] for part in PARTS)
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_is_left_out_leaves_no_trace(run: Any, tmp_path: Path) -> None:
    """And the marks of the others stay, to be cut by hand."""
    run("new-provider", "octopus", "--without", "token", "--without", "refunds")
    texts = [path.read_text() for path in (tmp_path / "payments-octopus").rglob("*") if path.is_file()]
    found = {part for text in texts for part in re.findall(r"# (?:>>> |<<< )?part (\S+)", text)}
    assert found == {"two-requests", "list", "endpoint"}
    assert not any(re.search(r"# without |RefundRequest|def authorize|\.credentials", text) for text in texts)


def test_the_parts_that_are_there_are_named(run: Any) -> None:
    assert "at the marks `# part X`: list, refunds, endpoint." in " ".join(
        run("new-provider", "octopus", "--without", "token,two-requests").out.split()
    )
    assert "# part" not in run("new-provider", "squid", "--without", "all").out


def test_force_writes_over_the_scaffold_s_files_and_no_others(run: Any, tmp_path: Path) -> None:
    run("new-provider", "octopus")
    folder = tmp_path / "payments-octopus"
    (folder / "notes.txt").write_text("mine")
    (folder / "README.md").write_text("changed")
    assert run("new-provider", "octopus").code == 1
    assert (folder / "README.md").read_text() == "changed"
    assert run("new-provider", "octopus", "--without", "all", "--force").code == 0
    assert (folder / "README.md").read_text().startswith("# payments-octopus")
    assert (folder / "notes.txt").read_text() == "mine"
    assert "authorize" not in (folder / "payments_octopus" / "provider.py").read_text()


# Code quality.


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a plugin of each name with all parts, and of one name with each part left out, and with none."""
    folder = tmp_path_factory.mktemp("made")
    for name in NAMES:
        assert main(["new-provider", name, "--output", str(folder)]) == 0
    for without in ("all", *PARTS, "token,two-requests", "list,refunds,endpoint"):
        (folder / without).mkdir()
        assert main(["new-provider", "octopus", "--without", without, "--output", str(folder / without)]) == 0
    return folder


@pytest.mark.once
def test_the_code_is_clean_by_the_rules_of_this_repository(made: Path) -> None:
    """Every rule of ruff, and its formatting, whatever the length of the name and the choice of parts."""
    for command in (["check"], ["format", "--check"]):
        ran = python("-m", "ruff", *command, "--no-cache", "--config", CONFIG, ".", cwd=made)
        assert ran.returncode == 0, ran.stdout


@pytest.mark.once
def test_the_code_is_typed_strictly(made: Path) -> None:
    cache = ROOT / ".build" / "mypy-of-scaffold"
    for folder in (made, made / "all", *(made / part for part in PARTS)):
        ran = python(
            "-m", "mypy", "--strict", "--cache-dir", cache, "-p", "payments_octopus", cwd=folder / "payments-octopus"
        )
        assert ran.returncode == 0, f"{folder.name}: {ran.stdout}"


# Behaviour of the unwritten plugin.


@pytest.fixture
def octopus(made: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(made / "all" / "payments-octopus")
    for name in [name for name in sys.modules if name.split(".")[0] == "payments_octopus"]:
        monkeypatch.delitem(sys.modules, name)
    import payments_octopus

    return payments_octopus


def test_every_hook_is_closed_and_says_where_it_is_to_be_written(octopus: Any) -> None:
    """Before anything is sent: the address leads nowhere, and nobody notices."""
    config = {"base_url": "http://127.0.0.1:9", "api_key": "made-up", "webhook_key": "made-up-too"}
    with open_provider(octopus.OctopusProvider, config) as gateway:
        with pytest.raises(UnsupportedOperation, match=r"create_charge\(\) in provider.py, step 3 of docs/writing-a"):
            gateway.create_charge(ChargeRequest("P1", Money.of("1", "EUR"), "Tea"))
        with pytest.raises(UnsupportedOperation, match=r"get_status\(\) in provider.py, step 3 of docs/writing-a"):
            gateway.get_status(Reference("P1"))
        with pytest.raises(WebhookRejected, match=r"verify\(\) in webhook.py, step 4 of docs/writing-a") as refused:
            gateway.parse_webhook(WebhookDelivery(b'{"id":"1","kind":"payment","payment_id":"2"}', {}))
    assert refused.value.reason == "signature"


def test_every_status_is_unknown(octopus: Any) -> None:
    from payments_core import Response

    mapping = sys.modules["payments_octopus.mapping"]
    assert mapping.STATUSES == {}
    body = b'{"id":"1","order_id":"P1","amount":"1.00","currency":"EUR","status":"paid"}'
    charge = mapping.charge("octopus", Response(200, body=body))
    assert (charge.status, charge.require("P1", charge.amount).is_paid) == (PaymentStatus.UNKNOWN, False)
    with pytest.raises(Exception, match="declined") as refused:
        raise mapping.refusal(Response(402, body=b'{"error":"declined"}'))
    assert refused.value.definitive is False


def test_the_sandbox_answers_that_it_is_not_written(octopus: Any) -> None:
    import urllib.error
    import urllib.request

    from payments_octopus.sandbox import make

    with make() as sandbox:
        with pytest.raises(urllib.error.HTTPError) as answered:
            urllib.request.urlopen(f"{sandbox.url}/payments")
        with answered.value as error:
            assert error.code == 501
            assert b"sandbox/app.py, step 3" in error.read()
        with pytest.raises(NotImplementedError, match=r"_signed\(\) in sandbox/local.py, step 4"):
            make.sign(octopus.OctopusConfig(**_secrets(sandbox.config)), b"{}")


def test_most_of_the_sandbox_is_there_already(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As step 3 says: with nothing but the refusals taken out, a charge is made, asked about, and paid on a page."""
    import urllib.request

    package = shutil.copytree(made / "payments-octopus" / "payments_octopus", tmp_path / "site" / "payments_octopus")
    for name in ("provider.py", "sandbox/app.py"):
        text = (package / name).read_text()
        assert text.count("        _unwritten(") > 4
        (package / name).write_text(re.sub(r"^        _unwritten\(.*\n", "", text, flags=re.MULTILINE))
    monkeypatch.syspath_prepend(tmp_path / "site")
    for name in [name for name in sys.modules if name.split(".")[0] == "payments_octopus"]:
        monkeypatch.delitem(sys.modules, name)
    import payments_octopus
    from payments_octopus.sandbox import make

    with make() as sandbox, open_provider(payments_octopus.OctopusProvider, sandbox.config) as gateway:
        order = ChargeRequest("P1", Money.of("88", "EUR"), "<Tea>", return_url="https://shop.example/back")
        charge = gateway.create_charge(order)
        assert (charge.amount, charge.raw_status) == (Money.of("88", "EUR"), "open")
        address = charge.next_action.url
        assert address.startswith(f"{sandbox.url}/pay/")
        with urllib.request.urlopen(address) as page:
            shown = page.read().decode()
        assert "88.00 EUR" in shown
        assert "&lt;Tea&gt;" in shown
        with urllib.request.urlopen(sandbox.url) as index:
            assert address.removeprefix(sandbox.url) in index.read().decode()
        with urllib.request.urlopen(address, b"do=pay") as page:
            assert "Back to the shop" in page.read().decode()
        for reference in (Reference("P1"), charge.reference):
            asked = gateway.get_status(reference)
            assert (asked.raw_status, asked.next_action) == ("paid", None)
        with pytest.raises(NotFound, match="no payment of this order"):
            gateway.get_status(Reference("P2"))
        with pytest.raises(Rejected, match="not_found"):
            gateway.get_status(Reference(provider_id="pay_2"))
        assert gateway.get_status(charge.reference).request_id
        other = sandbox.config | {"api_key": "another"}
        with open_provider(payments_octopus.OctopusProvider, other) as stranger, pytest.raises(AuthorizationRejected):
            stranger.create_charge(order)


def test_the_sandbox_takes_the_keys_of_an_earlier_start(octopus: Any) -> None:
    """`payments sandbox --keep` gives them."""
    from payments_octopus.sandbox import make

    with make() as first:
        kept = {name: value for name, value in first.config.items() if value and name != "base_url"}
    assert kept.keys() == {"api_key", "webhook_key"}
    with make(**kept) as again:
        assert kept.items() <= again.config.items()


def test_the_sandbox_keeps_pages_of_other_sites_out(octopus: Any) -> None:
    """Open in a browser of the same machine, they reach its port."""
    import urllib.error
    import urllib.request

    from payments_octopus.sandbox import make

    with make() as sandbox:
        for headers, status in (({"Host": "shop.example"}, 421), ({"Origin": "https://shop.example"}, 403)):
            asked = urllib.request.Request(f"{sandbox.url}/payments", b"{}", headers)
            with pytest.raises(urllib.error.HTTPError) as answered:
                urllib.request.urlopen(asked)
            with answered.value as error:
                assert error.code == status


def _secrets(config: dict[str, str]) -> dict[str, Any]:
    from payments_core import Secret

    return {name: value if name == "base_url" else Secret(value) for name, value in config.items()}


@pytest.mark.once
def test_its_tests_run_at_once_and_fail_by_name(made: Path, tmp_path: Path) -> None:
    """Collected without an error, and no failure is anything but what is still to be written."""
    folder = made / "all" / "payments-octopus"
    report = tmp_path / "report.xml"
    ran = python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", "tests", cwd=folder,
        PYTHONPATH=str(folder)
    )  # fmt: skip
    assert ran.returncode == 1, ran.stdout
    cases = list(ET.parse(report).iter("testcase"))
    assert len(cases) > 100
    assert [case for case in cases if case.find("error") is not None or case.find("skipped") is not None] == []
    failed = {
        case.get("name"): case.find("failure").get("message") for case in cases if case.find("failure") is not None
    }
    assert "refusals: give at least one" in failed["test_there_is_a_documented_refusal_to_test_with"]
    assert "raw_statuses: write the gateway's table" in failed["test_the_table_of_statuses_is_the_documented_one"]
    where = f"payments record octopus --output {folder / 'cassettes'} (step 5 of docs/writing-a-provider.md)"
    assert where in failed["test_each_cassette_is_replayed[paid]"]
    unwritten = [
        name for name, message in failed.items() if "not written yet: create_charge() in provider.py" in message
    ]
    assert len(unwritten) > 80
    closed = [name for name in failed if name.startswith("test_a_forged_delivery_is_refused")]
    assert len(closed) > 40, "nothing is believed, the genuine neither"
    assert re.search(
        r"^not written yet: create_charge\(\) in provider.py, step 3: \d+ tests fail$", ran.stdout, re.MULTILINE
    )
    assert len(ran.stdout.splitlines()) < 500, "a page or two, and no tracebacks"


# Step 2 to 5 for the invented gateway of the scaffold: what has to be written for the parts to work.
WRITTEN = {
    "payments_octopus/mapping.py": {
        "STATUSES: Final[dict[str, PaymentStatus]] = {}": """STATUSES: Final[dict[str, PaymentStatus]] = {
            "created": PaymentStatus.PENDING, "open": PaymentStatus.PENDING,
            "paid": PaymentStatus.SUCCEEDED, "closed": PaymentStatus.CANCELLED}""",
        "[str, tuple[RejectionCode, bool]]] = {}": """[str, tuple[RejectionCode, bool]]] = {
            "declined": (RejectionCode.DECLINED, True), "duplicate": (RejectionCode.DUPLICATE, False)}""",
        "[dict[str, RefundStatus]] = {}": '[dict[str, RefundStatus]] = {"done": RefundStatus.SUCCEEDED}',
    },
    "payments_octopus/webhook.py": {
        "from collections.abc": "import hmac\nfrom collections.abc",
        "    WebhookRejected,\n)": "    WebhookRejected,\n    same_hex_digest,\n)",
        "    del delivery, keys, now\n": """    signatures = delivery.values("signature")
    expected = [hmac.digest(key.reveal().encode(), delivery.body, "sha256") for key in keys]
    if len(signatures) == 1 and same_hex_digest(signatures[0], expected):
        return
""",
    },
    "payments_octopus/sandbox/local.py": {
        "from datetime import UTC": "import hmac\nfrom datetime import UTC",
        "    raise NotImplementedError(": """    digest = hmac.digest(key.encode(), body, "sha256")
    return (("signature", digest.hex()),)
    raise NotImplementedError(""",
    },
    "tests/test_contract.py": {
        "from payments_core.testing.contract import ProviderContract": """from payments_core import RejectionCode
from payments_core.testing.contract import ProviderContract, Refusal
from payments_octopus.mapping import STATUSES""",
        "raw_statuses = {}": "raw_statuses = STATUSES",
        "refusals = ()": """refusals = (
        Refusal(
            name="declined", status=402, body=b'{"error": "declined"}', code=RejectionCode.DECLINED, definitive=True
        ),
        Refusal(name="unlisted", status=409, body=b'{"error": "taken"}', code=RejectionCode.UNKNOWN),
    )
    not_applicable = {"test_every_event_of_a_batch_survives": "one delivery carries one event"}""",
    },
}


@pytest.mark.once
@pytest.mark.parametrize("without", ["", "token,two-requests"])
def test_every_part_passes_the_contract_once_the_words_are_filled_in(made: Path, tmp_path: Path, without: str) -> None:
    """All but what step 5 records, and the entry point, which an installation makes."""
    refunds = without != "all" and "refunds" not in without
    folder = shutil.copytree(made / without / "payments-octopus", tmp_path / "payments-octopus")
    for name, changes in WRITTEN.items():
        text = (folder / name).read_text()
        for before, after in changes.items():
            if "RefundStatus" in before and not refunds:
                continue
            assert text.count(before) == 1, (name, before)
            text = text.replace(before, after)
        (folder / name).write_text(text)
    for name in ("provider.py", "sandbox/app.py"):
        path = folder / "payments_octopus" / name
        path.write_text(re.sub(r"^        _unwritten\(.*\n", "", path.read_text(), flags=re.MULTILINE))
    ran = python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not entry_point and not into_a_cassette",
        "tests/test_contract.py", cwd=folder, PYTHONPATH=str(folder)
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    assert int(re.search(r"(\d+) passed", ran.stdout)[1]) > (140 if refunds else 120)


@pytest.mark.once
def test_the_tests_of_two_plugins_run_in_one_call(made: Path) -> None:
    """Their files have the same names."""
    both = [made / "payments-octopus", made / "payments-x"]
    ran = python(
        "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *(folder / "tests" for folder in both),
        cwd=made, PYTHONPATH=os.pathsep.join(map(str, both)),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    for name in ("::TestOctopus::", "::TestX::"):
        assert name in ran.stdout
