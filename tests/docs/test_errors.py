"""docs/errors.md names every error."""

import inspect
import re
from pathlib import Path

import payments_core
from payments_core import PaymentError

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "errors.md").read_text("utf-8")


def test_table_has_every_error_and_no_other():
    public = [getattr(payments_core, name) for name in payments_core.__all__]
    errors = {each.__name__ for each in public if inspect.isclass(each) and issubclass(each, PaymentError)}
    table = PAGE.partition("## Errors, by what to do next")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| \**`(\w+)`", table, re.MULTILINE)) == errors
