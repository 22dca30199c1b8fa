"""Write a scene of a charge's life once, and run it sync, async, recorded, replayed or live.

    def paid(parameters):
        charge = yield call("create_charge", ChargeRequest(parameters["order_id"], AMOUNT, "Tea"))
        yield shopper("pay", charge)
        expect((yield call("confirm", parameters["order_id"], AMOUNT)), is_paid=True)

A script is a generator, like a provider's flow: it yields steps and is sent their results. Calls are made on the
gateway; the steps of the shopper and the sandbox are left to an actor: a sandbox, a person, or nobody in a replay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from payments_core import AsyncGateway, Charge, Gateway, PaymentError, Redirect, ShowQRCode, drive, drive_async

from .masking import CassettePolicy

__all__ = [
    "Actor",
    "Call",
    "Control",
    "HumanActor",
    "Move",
    "Published",
    "ReplayActor",
    "SandboxActor",
    "Script",
    "Step",
    "Story",
    "call",
    "expect",
    "run",
    "run_async",
    "sandbox",
    "shopper",
]


class Call(msgspec.Struct, frozen=True):
    """A call of the gateway, made by `call`. The script is sent its result or, with `raises`, its error.

    * `operation`: the method of the gateway
    * `arguments`: its positional arguments
    * `keywords`: its arguments by name
    * `raises`: the exact class of error that it must raise, None if it must succeed
    """

    operation: str
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    raises: type[PaymentError] | None


class Move(msgspec.Struct, frozen=True):
    """An action of the shopper on a charge, made by `shopper`.

    * `action`: `pay`, `cancel` or `time_out`
    * `charge`: the charge
    """

    action: str
    charge: Charge


class Control(msgspec.Struct, frozen=True):
    """A command that only a sandbox understands, made by `sandbox`.

    * `action`: the method of the sandbox
    * `arguments`: its arguments
    """

    action: str
    arguments: tuple[Any, ...]


Step: TypeAlias = Call | Move | Control
"""A step that a script yields."""
Script: TypeAlias = Callable[[Mapping[str, str]], Generator[Step, Any, None]]
"""A generator function of the parameters that yields steps and is sent their results."""


def call(operation: str, *arguments: Any, raises: type[PaymentError] | None = None, **keywords: Any) -> Call:
    """Call a method of the gateway, when yielded; with `raises` it must fail with exactly that class of error."""
    return Call(operation, arguments, keywords, raises)


def shopper(action: str, charge: Charge) -> Move:
    """Have the shopper `pay`, `cancel` or `time_out`, when yielded."""
    return Move(action, charge)


def sandbox(action: str, *arguments: Any) -> Control:
    """Call a method of the sandbox, when yielded: such a story cannot be live."""
    return Control(action, arguments)


def expect(value: object, **attributes: object) -> None:
    """Raise `AssertionError` unless each of the value's attributes is the given one."""
    problems = [
        f"{name} is {getattr(value, name)!r} and not {wanted!r}"
        for name, wanted in attributes.items()
        if type(getattr(value, name)) is not type(wanted) or getattr(value, name) != wanted
    ]
    if problems:
        raise AssertionError(f"{type(value).__name__}: {'; '.join(problems)}")


class Published(msgspec.Struct, frozen=True):
    """An answer that a gateway's documentation gives as an example.

    * `method`: the HTTP method of the request it answers
    * `path`: the path of that request
    * `body`: the answer's body, as published
    * `status`: its HTTP status
    """

    method: str
    path: str
    body: bytes
    status: int = 200


class Story(msgspec.Struct, frozen=True):
    """A scene that becomes one cassette of its name.

    * `name`: lower-case words with hyphens
    * `script`: a generator function of the parameters that yields what `call`, `shopper` and `sandbox` make
    * `policy`: the policy of its cassette
    * `live`: False if only a sandbox can play it
    * `parameters`: the script's parameters; `{unique}` in a value becomes the story's name in a sandbox, so that
      recordings repeat, and something new in each live recording: 20 hexadecimal digits, or as many as an order id has
      room for
    * `options`: the sandbox options it needs
    * `repeats`: the paths, as in the policy, to which it sends the same request twice
    * `published`: the only answers it is recorded from; such a story is not live
    * `source`: the address of the page that publishes them
    """

    name: str
    script: Script
    policy: CassettePolicy
    live: bool = True
    parameters: Mapping[str, str] = msgspec.field(default_factory=lambda: {"order_id": "{unique}"})
    options: Mapping[str, Any] = msgspec.field(default_factory=dict)
    repeats: tuple[str, ...] = ()
    published: tuple[Published, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        if re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", self.name) is None:
            raise ValueError(f"a story's name is lower-case words with hyphens, not {self.name!r}")
        if self.published and (self.live or not self.source):
            raise ValueError(f"{self.name}: published answers have a source and are not live")

    def values(self, unique: str = "") -> dict[str, str]:
        """Return the parameters of one run, with the story's name or `unique` filled in."""
        return {name: value.replace("{unique}", unique or self.name) for name, value in self.parameters.items()}


class Actor(Protocol):
    """Perform the steps that a gateway's client cannot."""

    def act(self, step: Move | Control) -> None:
        """Perform a step."""


class SandboxActor:
    """Play the shopper, and control the gateway, in a running sandbox."""

    def __init__(self, sandbox: object) -> None:
        self._sandbox = sandbox

    def act(self, step: Move | Control) -> None:
        """Call the sandbox's method of that name."""
        arguments = (step.charge.reference.provider_id,) if isinstance(step, Move) else step.arguments
        getattr(self._sandbox, step.action)(*arguments)


class ReplayActor:
    """Do nothing: the results are in the cassette."""

    def act(self, step: Move | Control) -> None:
        """Do nothing."""


class HumanActor:
    """Tell a person what to do, and wait for them to confirm; `draw` makes a QR code of a text."""

    _MOVES: Final = {
        "pay": "pay {amount} for order {order_id} in the wallet, and wait until it says that it is paid",
        "cancel": "decline to pay for order {order_id} in the wallet",
        "time_out": "let the time for paying order {order_id} pass",
    }

    def __init__(
        self,
        ask: Callable[[str], object] = input,
        out: Callable[[str], object] = print,
        draw: Callable[[str], str] | None = None,
    ) -> None:
        self._ask = ask
        self._out = out
        self._draw = draw

    def act(self, step: Move | Control) -> None:
        """Show where to pay, say what to do, and wait."""
        if isinstance(step, Control):
            raise TypeError(f"{step.action} needs a sandbox, not a person: the story is not live")
        charge = step.charge
        text = _payable(charge)
        if text:
            if self._draw is not None:
                self._out(self._draw(text))
            self._out(text)
        wanted = self._MOVES.get(step.action, f"{step.action}: order {{order_id}}")
        self._ask(f"{wanted.format(amount=charge.amount, order_id=charge.reference.order_id)}, then press Enter: ")


def run(story: Story, gateway: Gateway, actor: Actor, parameters: Mapping[str, str]) -> None:
    """Run a story; let errors of its script and calls through."""

    def perform(step: Step) -> Any:
        if not isinstance(step, Call):
            actor.act(step)
            return None
        try:
            result = _method(gateway, step)(*step.arguments, **step.keywords)
        except PaymentError as exc:
            return _expected_error(step, exc)
        return _checked_result(step, result)

    drive(story.script(parameters), perform)


async def run_async(story: Story, gateway: AsyncGateway, actor: Actor, parameters: Mapping[str, str]) -> None:
    """Run a story with an `AsyncGateway`; actors are not awaited."""

    async def perform(step: Step) -> Any:
        if not isinstance(step, Call):
            actor.act(step)
            return None
        try:
            result = await _method(gateway, step)(*step.arguments, **step.keywords)
        except PaymentError as exc:
            return _expected_error(step, exc)
        return _checked_result(step, result)

    await drive_async(story.script(parameters), perform)


def _method(gateway: Gateway | AsyncGateway, step: Call) -> Callable[..., Any]:
    if step.operation.startswith("_"):
        raise ValueError(f"{step.operation} is not a call of a gateway")
    method: Callable[..., Any] = getattr(gateway, step.operation)
    return method


def _expected_error(step: Call, error: PaymentError) -> PaymentError:
    if type(error) is not step.raises:
        raise error
    return error


def _checked_result(step: Call, result: object) -> object:
    if step.raises is not None:
        raise AssertionError(f"{step.operation} was to raise {step.raises.__name__}, and returned {result!r}")
    return result


def _payable(charge: Charge) -> str:
    action = charge.next_action
    if isinstance(action, Redirect):
        return action.url
    return action.content if isinstance(action, ShowQRCode) else ""
