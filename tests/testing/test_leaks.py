"""Test the leak scan: what it must find, each form made by an independent encoder, and what it must not report."""

import base64
import gzip
import html
import json
import os
import random
import re
import secrets as randomness
import sys
import time
import zlib
from urllib.parse import quote, quote_plus, urlencode

import pytest
import yaml

from payments_core.secrets import Secret
from payments_core.testing import leaks
from payments_core.testing.leaks import (
    Leak,
    ScanIncomplete,
    assert_controls,
    encodings,
    exception_texts,
    plant,
    scan,
    scan_tree,
)

AWKWARD = "k7/Q+ x'Z\"é\\ü&9%w€\U0001f600"
CANARIES = {
    "plain": "0123abcdEFGH",
    "short": "a9-/f7+Z",
    "awkward": AWKWARD,
    "backslashes": "a\\nb\\\\u0041c\td%41e",
    "digits": "4444333322221111",
    "control": "line\nfeed\x00\x7f\x1b[0m",
}
SHIFTS = range(9)


@pytest.fixture(params=CANARIES)
def secret(request):
    return CANARIES[request.param]


def forms(data, secret):
    return {leak.form for leak in scan(data, {"it": secret})}


def found(data, secret):
    return bool(scan(data, {"it": secret}))


# Forms.


def test_every_encoding_is_found_wherever_it_stands(secret):
    """At any offset, between any neighbours, for nobody aligns a leak."""
    for form, texts in encodings(secret).items():
        for text in texts:
            for shift in SHIFTS:
                data = b'a="' + b"x" * shift + b"-" * (shift % 2) + text + b'"; next'
                assert found(data, secret), (form, shift)


@pytest.mark.parametrize(
    "encode",
    [
        lambda secret: quote(secret),
        lambda secret: quote(secret, safe=""),
        lambda secret: quote_plus(secret),
        lambda secret: urlencode({"client_secret": secret, "x": "&"}),
        lambda secret: quote(secret, safe="").lower() if secret.islower() else quote(secret, safe=""),
        lambda secret: "".join(f"%{byte:02x}" for byte in secret.encode()),
        lambda secret: quote(quote(quote(secret, safe=""), safe=""), safe=""),
        json.dumps,
        lambda secret: json.dumps(secret, ensure_ascii=False),
        lambda secret: json.dumps(secret).replace("/", "\\/"),
        lambda secret: json.dumps(json.dumps({"a": secret})),
        lambda secret: json.dumps({"u": "https://shop.example/?s=" + quote(secret, safe="")}).replace("/", "\\/"),
        lambda secret: "".join(f"\\u{unit:04X}" for unit in utf16(secret)),
        repr,
        ascii,
        lambda secret: repr({"body": secret.encode()}),
        lambda secret: repr(repr(secret)),
        html.escape,
        lambda secret: "".join(f"&#x{ord(char):X};" for char in secret),
        lambda secret: yaml.dump({"body": "client_secret=" + secret}),
        lambda secret: yaml.dump({"body": "client_secret=" + secret}, allow_unicode=True, default_style="'"),
        lambda secret: yaml.dump({"body": secret.encode()}),
        lambda secret: yaml.dump({"body": b"\x00" * 300 + json.dumps({"s": secret}).encode() + b"\xff" * 200}),
        lambda secret: yaml.dump({"string": gzip.compress(json.dumps({"s": secret}).encode() + os.urandom(200))}),
        lambda secret: secret.encode().hex().title(),
        lambda secret: "0x" + json.dumps(secret).encode().hex() + "00",
        lambda secret: base64.encodebytes(b"." * 70 + secret.encode() + b"." * 70),
        lambda secret: base64.b64encode(base64.b64encode(b"user:" + secret.encode())),
        lambda secret: "Basic " + base64.b64encode(f"id:{quote_plus(secret)}".encode()).decode(),
        lambda secret: b"\x00\x1f\x8b" + gzip.compress(b"." * 5000 + secret.encode()) + b"tail",
        lambda secret: gzip.compress(gzip.compress(secret.encode())),
        lambda secret: gzip.compress(b"first") + gzip.compress(b"second: " + secret.encode()),
        lambda secret: gzip.compress(secret.encode())[:-8],
        lambda secret: gzip.compress(secret.encode()).hex(),
        lambda secret: repr(gzip.compress(secret.encode())),
        lambda secret: json.dumps({"b": gzip.compress(secret.encode()).decode("latin-1")}, ensure_ascii=False),
        lambda secret: json.dumps({"b": gzip.compress(secret.encode()).decode("latin-1")}),
        lambda secret: quote(gzip.compress(secret.encode())),
        lambda secret: zlib.compress(secret.encode(), 9),
        lambda secret: zlib.compress(urlencode({"s": secret}).encode(), 1),
    ],
)
def test_what_real_encoders_make_is_found(encode, secret):
    """Alone, and among other text."""
    made = encode(secret)
    data = made if isinstance(made, bytes) else made.encode("utf-8", "surrogatepass")
    assert found(data, secret)
    assert found(b"2026-01-01 INFO [x] payload: " + data + b" took=12ms\n", secret)


def utf16(secret):
    units = secret.encode("utf-16-be")
    return [int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2)]


def test_a_shortest_secret_with_one_escape_is_found_in_base64():
    """Nine bytes are twelve digits: none shorter need be decoded."""
    assert forms(base64.b64encode(b"a9-\\/f7+Z"), "a9-/f7+Z") == {"base64/json"}


@pytest.mark.parametrize("shift", SHIFTS)
def test_gzip_is_found_in_digits_glued_to_other_digits(secret, shift):
    """Nothing says where base64 or hex begins."""
    packed = gzip.compress(secret.encode())
    assert "base64/gzip" in forms(b"=" + b"u" * shift + base64.b64encode(packed), secret)
    assert "hex/gzip" in forms(b"=" + b"f" * shift + packed.hex().encode(), secret)


@pytest.mark.parametrize("pad", range(40, 90))
def test_yaml_that_is_folded_within_the_secret_is_unfolded(pad):
    """PyYAML breaks a quoted line after an escape, and marks the break with a backslash."""
    assert found(yaml.dump({"body": "x" * pad + AWKWARD}), AWKWARD)


@pytest.mark.parametrize("nonsense", ["&#1114112;", "&#x110000;", "\\UFFFFFFFF", "\\ud800", "%zz", "\\x", "&amp"])
def test_nonsense_in_a_notation_stays_as_it_is(nonsense):
    """No such character: nothing fails, and what stands beside it is still found."""
    assert found(f"{nonsense}canary%2Fsecret{nonsense}", "canary/secret")


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_is_found_at_every_alignment(encode, shift, secret):
    """With neighbours on both sides, unpadded too, and glued to a word before it."""
    text = encode(b"u" * shift + secret.encode() + b"!" * (shift % 4))
    assert found(b"Authorization: Basic " + text, secret)
    assert found(b"token/" + text.rstrip(b"="), secret)


def test_any_mixture_of_quoted_and_plain_characters_is_found():
    """An encoder decides for each character, and so does each hex digit's case."""
    secret = "k7/Q+x'Z\"é9~w"
    source = random.Random(7)
    for _ in range(300):
        quoted = b"".join(
            source.choice([b"%%%02x", b"%%%02X"]) % byte if byte > 127 or source.random() < 0.5 else bytes([byte])
            for byte in secret.encode()
        )
        escaped = "".join(
            source.choice(["\\u%04x", "\\u%04X"]) % ord(char) if char in '"é' or source.random() < 0.5 else char
            for char in secret
        )
        assert forms(b"x=" + quoted, secret) == {"url"}
        assert forms(escaped, secret) == {"json"}


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (b"..%s..", "raw"),
        (lambda secret: quote(secret, safe=""), "url"),
        (lambda secret: json.dumps(secret), "json"),
        (lambda secret: base64.b64encode(secret.encode()), "base64"),
        (lambda secret: secret.encode().hex(), "hex"),
        (lambda secret: gzip.compress(secret.encode()), "gzip"),
        (lambda secret: base64.b64encode(gzip.compress(secret.encode())), "base64/gzip"),
        (lambda secret: zlib.compress(quote(secret).encode()), "zlib/url"),
    ],
)
def test_a_leak_names_its_form_from_the_outside_in(data, form):
    """So that whoever reads the report knows where to look."""
    secret = 'canary/"-secret'
    assert forms(data % secret.encode() if isinstance(data, bytes) else data(secret), secret) == {form}


def test_a_leak_says_where_and_never_what():
    """The name, the form, the offset in the data that was given: nothing of the value."""
    secret = "canary/secret+1"
    pad = b"." * 1000
    data = pad + b"%41" + secret.encode() + pad + quote(secret, safe="").encode() + pad
    data += gzip.compress(secret.encode()) + b"\n\n" + base64.b64encode(b"abc" + secret.encode())
    expected = [
        Leak("it", "raw", 1003),
        Leak("it", "url", 2003 + len(secret)),
        Leak("it", "gzip", data.index(b"\x1f\x8b")),
        Leak("it", "base64", data.index(b"\n\n") + 6),
    ]
    assert scan(data, {"it": secret}) == expected
    assert not found(repr(expected) + "".join(map(str, expected)), secret)


def test_every_occurrence_of_every_secret_is_reported():
    """Two secrets, three places; text is as good as bytes."""
    leaks_found = scan("first-canary second-canary first-canary", {"a": "first-canary", "b": "second-canary"})
    assert leaks_found == [Leak("a", "raw", 0), Leak("b", "raw", 13), Leak("a", "raw", 27)]


def test_a_secret_wrapped_at_its_space_is_found():
    """YAML folds prose there."""
    assert found("  note: the old\n    secret words here\n", "old secret words")


def test_a_few_quoted_bytes_in_a_megabyte_are_found():
    """Far from everything else that is quoted, too."""
    secret = "canary/secret+1"
    filler = b"nothing to see here, " * 20_000
    data = b"%20" + filler + quote(secret, safe="").encode() + filler + b"%20"
    assert scan(data, {"it": secret}) == [Leak("it", "url", 3 + len(filler))]


# No false positives.


def test_random_data_has_no_leaks():
    """A megabyte of noise, as it is and in every notation that is decoded."""
    noise = random.Random(2).randbytes(1_000_000)
    for data in (noise, base64.b64encode(noise), noise.hex().encode(), repr(noise[:200_000]).encode()):
        assert scan(data, CANARIES) == []


def test_a_near_miss_is_no_leak(secret):
    """One character in the middle is another one, in every form."""
    middle = len(secret) // 2
    other = secret[:middle] + chr(ord(secret[middle]) ^ 1) + secret[middle + 1 :]
    for form, text in plant(other).items():
        assert found(text, other), form
        assert not found(text, secret), form


def test_a_megabyte_is_scanned_in_seconds():
    """A gate that takes minutes is switched off. (It takes about one second.)"""
    rows = [{"n": n, "url": f"/v1/payments/{n}?a=%2F&amp;b=c", "text": 'a "quoted" é\n'} for n in range(14_000)]
    data = json.dumps(rows, indent=1).encode()
    started = time.monotonic()
    assert scan(data, {"a": "canary-one-1", "b": "canary/two+2", "c": "canary-three"}) == []
    assert (len(data) > 1_000_000, time.monotonic() - started < 15) == (True, True)


# Refusals.


@pytest.mark.parametrize("call", [encodings, plant, lambda secret: scan(b"", {"it": secret})])
def test_a_short_secret_is_refused_and_not_shown(call):
    """It would be found by chance; the message does not repeat it."""
    with pytest.raises(ValueError, match="fewer than 8") as caught:
        call("hunter2")
    assert "hunter2" not in str(caught.value)
    call("hunter22")


def test_no_secrets_are_no_leaks():
    """Nothing is asked, nothing is found."""
    assert scan(b"anything", {}) == []


def test_a_bomb_is_refused_rather_than_half_read():
    """No answer would be true: there may be a secret behind the cap."""
    bomb = gzip.compress(b"\x00" * 40_000_000, 1)
    with pytest.raises(ScanIncomplete):
        scan(bomb, {"it": "canary-secret"})


# Controls.


def test_the_controls_pass_for_all_kinds_of_secrets():
    """Awkward ones and random ones, for a reviewer chooses."""
    assert_controls(CANARIES)
    assert_controls({"token": randomness.token_urlsafe(24), "key": randomness.token_hex(8), "b": AWKWARD[::-1]})


def test_every_control_has_its_secret_and_every_form_a_control():
    """Each text is decoded by the library that it is meant for."""
    texts = plant("canary/+secret é")
    kinds = {re.sub(r" \d$", "", name) for name in texts}
    assert {"raw", "url", "json", "python", "hex", "gzip", "zlib", "base64", "base64 url-safe"} <= kinds
    assert {"gzip in base64", "gzip in wrapped base64", "gzip in hex"} <= kinds
    token = texts["basic, quoted"].rpartition(b" ")[2]
    assert base64.b64decode(token) == b"uid:canary%2F%2Bsecret+%C3%A9"
    assert "canary/+secret é".encode() in gzip.decompress(texts["gzip"].partition(b"\r\n\r\n")[2])
    cassette = yaml.safe_load(texts["gzip in wrapped base64"])
    assert "canary/+secret é".encode() in gzip.decompress(cassette["body"]["string"][50:])
    offsets = {shift: base64.b64decode(texts[f"base64 {shift}"].split()[-1]).index(b"canary") for shift in range(3)}
    assert {offset % 3 for offset in offsets.values()} == {0, 1, 2}


@pytest.mark.parametrize("blind", ["url", "json", "python", "html", "base64", "hex", "gzip", "zlib", "raw"])
def test_a_scan_that_is_blind_to_one_form_fails_its_controls(monkeypatch, blind):
    """The controls name what was not found, and not the secret."""
    real = leaks.scan
    monkeypatch.setattr(
        leaks, "scan", lambda data, named: [leak for leak in real(data, named) if blind not in leak.form.split("/")]
    )
    with pytest.raises(AssertionError, match=f"canary, .*{blind}.*not found") as caught:
        assert_controls({"canary": AWKWARD})
    assert AWKWARD not in str(caught.value)


def test_a_scan_that_finds_everything_fails_its_controls_too(monkeypatch):
    """Else a scan that always says yes would pass."""
    monkeypatch.setattr(leaks, "scan", lambda data, named: [Leak("it", "raw", 0)])
    with pytest.raises(AssertionError, match="found in its absence"):
        assert_controls({"canary": AWKWARD})


# Folders.


def test_a_folder_is_scanned_with_all_its_files_and_their_names(tmp_path):
    """Each leak says in which file; a name that is a leak is not repeated."""
    secret = "canary-secret"
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "clean.yaml").write_text("nothing")
    (tmp_path / "a" / "b" / "body.yaml").write_bytes(b"x" + base64.b64encode(b"x" + secret.encode()))
    (tmp_path / f"{secret}.yaml").write_text(secret)
    report = scan_tree(tmp_path, {"it": secret})
    assert [(leak.form, leak.where) for leak in report] == [
        ("base64", "a/b/body.yaml"),
        ("raw", "the name of file 3 of 3, by name"),
        ("raw", "file 3 of 3, by name"),
    ]
    assert not found("".join(map(str, report)), secret)


def test_a_single_file_is_scanned_and_a_missing_one_is_an_error(tmp_path):
    """Nothing scanned must not look like nothing found."""
    file = tmp_path / "one.yaml"
    file.write_text("a canary-secret")
    assert scan_tree(str(file), {"it": "canary-secret"}) == [Leak("it", "raw", 2, "one.yaml")]
    with pytest.raises(FileNotFoundError):
        scan_tree(tmp_path / "absent", {"it": "canary-secret"})


# Exceptions.

CANARY = "canary/secret+é"


def caught(raiser):
    try:
        raiser()
    except BaseException as exc:
        return exc
    raise AssertionError("nothing was raised")


def leaking(exc):
    return found(exception_texts(exc, without=[__file__]), CANARY)


class Holder:
    def __init__(self, value):
        self.value = value


class Slotted:
    __slots__ = ("__private", "shown")

    def __init__(self, shown="", private=""):
        self.shown = shown
        self.__private = private


class Described(Exception):
    @property
    def request(self):
        return Holder({"headers": [("authorization", CANARY)]})

    @property
    def broken(self):
        raise RuntimeError


def with_attribute(exc, name, value):
    setattr(exc, name, value)
    return exc


def with_note(exc, note):
    exc.add_note(note)
    return exc


def chained(cause=None, context=None):
    exc = ValueError("outer")
    exc.__cause__, exc.__context__, exc.__suppress_context__ = cause, context, True
    return exc


@pytest.mark.parametrize(
    "exc",
    [
        ValueError("token " + CANARY),
        ValueError({"deep": [(CANARY,)]}),
        ValueError(CANARY.encode()),
        ValueError(gzip.compress(CANARY.encode())),
        with_attribute(ValueError(), "request", Holder(Holder({"body": CANARY.encode()}))),
        with_attribute(ValueError(), "key", {CANARY: 1}),
        with_attribute(ValueError(), "slotted", Slotted(shown=CANARY)),
        with_note(ValueError(), "sent " + CANARY),
        chained(cause=KeyError(CANARY)),
        chained(context=KeyError(CANARY)),
        chained(cause=chained(context=with_note(KeyError(), CANARY))),
        ExceptionGroup("several", [ValueError(), ExceptionGroup("inner", [with_note(TypeError(), CANARY)])]),
        BaseExceptionGroup("many", [*(ValueError(n) for n in range(30)), KeyboardInterrupt(CANARY)]),
        OSError(2, "no such file", CANARY),
        UnicodeDecodeError("utf-8", CANARY.encode(), 0, 1, "bad"),
        caught(lambda: json.loads("{" + CANARY)),
        AttributeError("x", name="y", obj=Holder(CANARY)),
        Described(),
        type("Formatted", (Exception,), {"__str__": lambda self: CANARY})(),
        type("Represented", (Exception,), {"__repr__": lambda self: CANARY})(),
    ],
    ids=lambda exc: type(exc).__name__,
)
def test_a_secret_anywhere_in_the_exception_graph_is_found(exc):
    """Whatever holds it."""
    assert leaking(exc)


@pytest.mark.parametrize(
    "exc",
    [
        ValueError("nothing"),
        with_attribute(ValueError(), "secret", Secret(CANARY)),
        with_attribute(ValueError(), "slotted", Slotted(private=CANARY)),
        caught(lambda: {}["absent"]),
    ],
)
def test_a_secret_that_keeps_itself_is_no_leak(exc):
    """Neither is there one in an exception that has none."""
    assert not leaking(exc)


def foreign(source, **names):
    """A function whose code is in another file than this one."""
    scope = dict(names)
    exec(compile(source, "elsewhere.py", "exec"), scope)
    return scope["call"]


def test_the_locals_of_every_frame_are_looked_at():
    """As error trackers do, down to the innermost."""
    outer = "def call(sent):\n    inner()\n"
    inner = "def call():\n    payload = {'token': TOKEN}\n    raise ValueError('x')\n"
    clean = foreign("def call():\n    raise ValueError('x')\n")
    assert leaking(caught(lambda: foreign(outer, inner=clean)(CANARY)))
    assert leaking(caught(lambda: foreign(outer, inner=foreign(inner, TOKEN=CANARY))("")))
    assert not leaking(caught(lambda: foreign(outer, inner=foreign(inner, TOKEN=Secret(CANARY)))("")))


def test_the_source_lines_of_the_traceback_are_looked_at(tmp_path):
    """A literal in the code is printed as well."""
    file = tmp_path / "module.py"
    file.write_text(f"def call():\n    raise ValueError(len({CANARY!r}))\n")
    scope = {}
    exec(compile(file.read_text(), str(file), "exec"), scope)
    assert leaking(caught(scope["call"]))


def test_the_callers_own_locals_are_left_out():
    """A test has its secrets at hand; a helper's file can be named."""
    held = CANARY

    def helper(sent):
        raise ValueError("x")

    with pytest.raises(ValueError) as here:
        raise ValueError("x")
    assert not found(exception_texts(here.value), held)
    with pytest.raises(ValueError) as there:
        helper(held)
    assert found(exception_texts(there.value), held)
    assert not found(exception_texts(there.value, without=[__file__]), held)


def test_cycles_come_to_an_end():
    """Among causes, contexts, attributes and containers."""
    exc, other, ring = ValueError("a"), KeyError("b"), []
    ring.append(ring)
    exc.__cause__, other.__context__ = other, exc
    exc.ring, exc.self = ring, exc
    assert not leaking(exc)
    other.late = CANARY
    assert leaking(exc)


def test_an_object_that_cannot_be_shown_hides_nothing_behind_it():
    """Its repr fails, and its attributes are read all the same."""

    class Broken(Exception):
        def __repr__(self):
            raise RuntimeError

        __str__ = __repr__

    assert leaking(with_attribute(Broken(), "a", CANARY))
    assert not leaking(Broken())


def test_a_graph_without_end_is_refused():
    """Half of it read would prove nothing."""
    with pytest.raises(ScanIncomplete):
        exception_texts(ValueError([str(number) for number in range(50_000)]))


def test_a_long_chain_is_walked_to_its_end():
    """Longer than the recursion limit."""
    first = exc = KeyError("x")
    for _ in range(sys.getrecursionlimit() + 100):
        exc.__cause__ = exc = ValueError("link")
    exc.__cause__ = KeyError(CANARY)
    assert leaking(first)
