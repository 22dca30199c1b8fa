"""Register and check one gateway's plugins: each opened gateway has a pluggy manager of its own."""

from __future__ import annotations

import inspect
import logging
import types
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from operator import itemgetter
from typing import Any

import pluggy

from .errors import ConfigurationError, ProviderContractError
from .hookspecs import OBSERVER_HOOKS, OPTIONAL_OPERATIONS, PROVIDER_HOOKS, ObserverHooks, ProviderHooks
from .info import CONTRACT_VERSIONS, Notifications, ProviderInfo
from .interrupts import interrupt_behind
from .requests import order_id_of

__all__ = ["Hook", "Hooks"]

logger = logging.getLogger("payments_core.plugins")

_POSITIONAL = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}


class Hook:
    """One provider hook, called with just the arguments that its implementations accept."""

    __slots__ = ("_call", "accepts", "name")

    def __init__(self, name: str, caller: Any) -> None:
        implementations = caller.get_hookimpls()
        self.name = name
        self.accepts = frozenset(argument for each in implementations for argument in each.argnames)
        self._call: Callable[[Mapping[str, object]], Any]
        if len(implementations) == 1:
            # pluggy's own call costs more than a whole webhook; with nothing around the hook it would add nothing.
            function, wanted = implementations[0].function, implementations[0].argnames
            pick = itemgetter(*wanted) if wanted else None
            if pick is None:
                self._call = lambda arguments: function()  # noqa: ARG005
            elif len(wanted) == 1:
                self._call = lambda arguments: function(pick(arguments))
            else:
                self._call = lambda arguments: function(*pick(arguments))
        else:
            # pluggy wants every argument of the specification, also one that nobody accepts and so nobody sees.
            named = caller.spec.argnames
            self._call = lambda arguments: caller(**{each: arguments.get(each) for each in named})

    def __call__(self, arguments: Mapping[str, object]) -> Any:
        """Return what the hook returns, unchecked; it may raise anything."""
        return self._call(arguments)


class Hooks:
    """The checked plugins of one gateway."""

    def __init__(
        self,
        name: str,
        provider: object,
        info: ProviderInfo,
        plugins: Sequence[object] | None,
        *,
        gateway: str = "",
    ) -> None:
        if not isinstance(plugins, list | tuple | None):
            raise ConfigurationError("plugins is a list of plugins, each an instance")
        self.gateway = gateway or name
        self._manager = pluggy.PluginManager("payments_core")
        self._manager.add_hookspecs(ProviderHooks)
        self._manager.add_hookspecs(ObserverHooks)
        self._register(provider, f"provider {name}")
        for position, plugin in enumerate(plugins or ()):
            self._register(plugin, f"plugin {position} ({type(plugin).__name__})")
        self._check(name, provider, info)
        self._provider_hooks = {
            hook: Hook(hook, getattr(self._manager.hook, hook))
            for hook in PROVIDER_HOOKS
            if self._implemented(hook, provider)
        }
        self._observers = {
            hook: tuple(
                (each.function, each.argnames, each.plugin_name)
                for each in getattr(self._manager.hook, hook).get_hookimpls()
            )
            for hook in OBSERVER_HOOKS
        }

    def get(self, name: str) -> Hook | None:
        """Return a provider hook by its name, or None where the provider has none."""
        return self._provider_hooks.get(name)

    def observed(self, name: str) -> bool:
        """Return True if somebody observes this; else no record needs to be made."""
        return bool(self._observers[name])

    def notify(self, name: str, **arguments: object) -> BaseException | None:
        """Call every observer, and return what a signal handler raised meanwhile.

        pluggy would stop at the first observer that raises, and hand its exception to the caller.
        """
        interrupt: BaseException | None = None
        for function, wanted, plugin in self._observers[name]:
            try:
                function(*[arguments[each] for each in wanted])
            except BaseException as exc:  # noqa: BLE001 - MemoryError too: the call that it watched may have moved money
                interrupt = interrupt or interrupt_behind(exc)
                self._log_failure(plugin, name, exc, arguments)
        return interrupt

    def _log_failure(self, plugin: str, name: str, error: BaseException, arguments: Mapping[str, object]) -> None:
        record = next(iter(arguments.values()))  # an operation, an exchange, a charge or an event
        known = {"order_id": order_id_of(record), "request_id": getattr(record, "request_id", "")}
        logger.warning(
            "%s: %s failed in %s: %s",
            self.gateway,
            plugin,
            name,
            type(error).__name__,
            extra={"gateway": self.gateway, **known},
        )

    def _register(self, plugin: object, name: str) -> None:
        if inspect.isclass(plugin):
            raise ProviderContractError(f"{name} is a class: give an instance of it")
        problem = None
        try:
            self._manager.register(plugin, name)
        except pluggy.PluginValidationError as exc:
            problem = self._unknown_arguments(plugin) or " ".join(str(exc).split())
        except ValueError:
            problem = "it is given twice"
        except Exception as exc:  # noqa: BLE001 - registering looks at every attribute of a stranger's object
            problem = f"looking at it raised {type(exc).__name__}"
        if problem is not None:
            raise ProviderContractError(f"{name} cannot be registered: {problem}")

    def _unknown_arguments(self, plugin: object) -> str:
        """Describe in one line a hook that names an argument which it is never given; pluggy's own text takes four."""
        for hook, method in _marked(plugin).items():
            caller = getattr(self._manager.hook, hook, None)
            allowed = set(caller.spec.argnames) if caller is not None and caller.spec is not None else set()
            if allowed and (unknown := set(inspect.signature(method).parameters) - allowed):
                return f"{hook} names {_listed(unknown)}, and may name {_listed(allowed)} and nothing else"
        return ""

    def _check(self, name: str, provider: object, info: ProviderInfo) -> None:
        problem = None
        try:
            self._manager.check_pending()
        except pluggy.PluginValidationError as exc:
            problem = f"a hook is misspelt: {exc}"
        if problem is not None:
            raise ProviderContractError(problem)
        implemented = {hook for hook in PROVIDER_HOOKS if self._implemented(hook, provider)}
        required = {"create_charge"} | ({"authorize"} if self._wants_authorization(implemented) else set())
        if missing := required - implemented:
            raise ProviderContractError(f"{name} does not implement {_listed(missing)}{_unmarked(provider, missing)}")
        if not implemented & {"get_status", "parse_webhook"}:
            raise ProviderContractError(
                f"{name} implements neither get_status nor parse_webhook: nobody would learn how a charge ends"
            )
        _check_notifications(name, info, implemented)
        if "get_status" not in implemented and not info.authoritative_webhooks:
            raise ProviderContractError(f"{name} has no get_status, so it must declare authoritative_webhooks")
        for hook in OBSERVER_HOOKS:
            self._check_observers(hook)
        declared, optional = info.operations, implemented & OPTIONAL_OPERATIONS
        if declared != optional:
            raise ProviderContractError(
                f"{name} declares and implements different operations: "
                f"declared only {_listed(declared - optional)}; implemented only {_listed(optional - declared)}"
            )
        if "authorize" in implemented and not self._wants_authorization(implemented):
            raise ProviderContractError(f"{name} implements authorize, but none of its hooks accepts authorization")

    def _implemented(self, hook: str, provider: object) -> bool:
        """Return True if the provider implements a hook; refuse another plugin that does so without being a wrapper."""
        found = False
        for each in getattr(self._manager.hook, hook).get_hookimpls():
            _check_parameters(each, hook)
            if inspect.iscoroutinefunction(each.function) or inspect.isasyncgenfunction(each.function):
                raise ProviderContractError(
                    f"{each.plugin_name}: {hook} is async; a hook does no I/O: it is a function or a generator"
                )
            if _wraps(each):
                continue
            if each.plugin is not provider:
                raise ProviderContractError(
                    f"{each.plugin_name} takes over {hook} of the provider: "
                    "mark it @hookimpl(wrapper=True) and return the provider's outcome"
                )
            found = True
        return found

    def _check_observers(self, hook: str) -> None:
        for each in getattr(self._manager.hook, hook).get_hookimpls():
            _check_parameters(each, hook)
            # Any of these would be called and never run.
            if _wraps(each) or any(
                check(each.function)
                for check in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
            ):
                raise ProviderContractError(
                    f"{each.plugin_name}: {hook} only watches: it is a plain function, neither async nor a wrapper"
                )

    def _wants_authorization(self, implemented: set[str]) -> bool:
        return any(
            "authorization" in each.argnames
            for hook in implemented - {"authorize"}
            for each in getattr(self._manager.hook, hook).get_hookimpls()
        )


def check_info(name: str, provider_class: object) -> ProviderInfo:
    """Return a provider's declaration with its defaults, checked as far as it goes without an instance."""
    info = getattr(provider_class, "info", None)
    if not isinstance(info, ProviderInfo):
        raise ProviderContractError(f"provider {name} has no info: a class attribute `info = ProviderInfo(...)`")
    if info.contract not in CONTRACT_VERSIONS:
        spoken = ", ".join(str(version) for version in sorted(CONTRACT_VERSIONS))
        raise ProviderContractError(
            f"provider {name} was written for contract {info.contract}, and this payments-core speaks {spoken}: "
            "install matching releases of the two"
        )
    if info.id != name:
        raise ProviderContractError(f"the entry point {name} leads to a provider that calls itself {info.id}")
    if unknown := info.operations - OPTIONAL_OPERATIONS:
        raise ProviderContractError(f"provider {name} declares operations that do not exist: {_listed(unknown)}")
    return info.filled_in(_marked(provider_class))


def instance_info(declared: ProviderInfo, provider: object) -> ProviderInfo:
    """Return the declaration of one account's provider.

    Its methods, limits or table of statuses may depend on the configuration.
    """
    info = getattr(provider, "info", None)
    if not isinstance(info, ProviderInfo) or any(
        getattr(info, field) != getattr(declared, field) for field in ("id", "contract", "operations")
    ):
        raise ProviderContractError(
            f"provider {declared.id} changes its id, contract or operations with its configuration"
        )
    return info.filled_in(_marked(provider))


def implemented_hooks(name: str, provider_class: type) -> tuple[str, ...]:
    """Return the hooks that a provider's class marks, in the contract's order; no instance or settings are needed.

    Opening checks more; a missing or misspelt hook is already found here.
    """
    marked = {
        options.get("specname") or attribute: bool(options.get("optionalhook"))
        for attribute in dir(provider_class)
        if (options := getattr(getattr(provider_class, attribute, None), "payments_core_impl", None))
        and not (options.get("wrapper") or options.get("hookwrapper"))
    }
    unknown = {hook for hook, optional in marked.items() if not optional} - {*PROVIDER_HOOKS, *OBSERVER_HOOKS}
    if unknown:
        raise ProviderContractError(
            f"provider {name} has hooks that do not exist: {_listed(unknown)} (the hooks are "
            f"{', '.join((*PROVIDER_HOOKS, *OBSERVER_HOOKS))})"
        )
    if "create_charge" not in marked:
        unmarked = _unmarked(provider_class, {"create_charge"})
        raise ProviderContractError(f"{name} does not implement create_charge{unmarked}")
    return tuple(hook for hook in PROVIDER_HOOKS if hook in marked and not hook.startswith("read_"))


def check_class(name: str, provider_class: type, info: ProviderInfo) -> None:
    """Check the hooks as opening does, without an instance or settings; raise `ProviderContractError`."""
    marked = types.SimpleNamespace()
    for attribute in dir(provider_class):
        method: Any = getattr(provider_class, attribute, None)
        if getattr(method, "payments_core_impl", None):
            plain = inspect.isfunction(inspect.getattr_static(provider_class, attribute))
            setattr(marked, attribute, types.MethodType(method, marked) if plain else method)
    Hooks(name, marked, info, None)


def _check_notifications(name: str, info: ProviderInfo, implemented: set[str]) -> None:
    kind, reads = info.notifications, "parse_webhook" in implemented
    if kind is Notifications.NONE and reads:
        raise ProviderContractError(f"{name} declares notifications=NONE, and implements parse_webhook")
    if kind in {Notifications.SIGNED, Notifications.UNSIGNED} and not reads:
        raise ProviderContractError(f"{name} declares notifications={kind}, and does not implement parse_webhook")
    if kind is Notifications.UNSIGNED and "get_status" not in implemented:
        raise ProviderContractError(
            f"{name} declares notifications=UNSIGNED, so it needs get_status: they prove nothing"
        )


def _marked(plugin: object) -> dict[str, Any]:
    """Return the methods of a plugin that are hooks, by the hook's name."""
    found = {}
    for attribute in dir(plugin):
        with suppress(Exception):  # looking at a stranger's attribute runs its code
            method = getattr(plugin, attribute)
            if options := getattr(method, "payments_core_impl", None):
                found[options.get("specname") or attribute] = method
    return found


def _unmarked(provider: object, missing: set[str]) -> str:
    """Describe the methods that have a missing hook's name and lack its mark."""
    lost = {hook for hook in missing if callable(getattr(provider, hook, None))}
    return f": {_listed(lost)} lacks @hookimpl" if lost else ""


def _check_parameters(implementation: Any, hook: str) -> None:
    """Refuse a parameter that pluggy would never pass: it passes those without a default, by position."""
    for parameter in inspect.signature(implementation.function).parameters.values():
        if parameter.default is not parameter.empty or parameter.kind not in _POSITIONAL:
            raise ProviderContractError(
                f"{implementation.plugin_name}: {hook} has a parameter that is never passed: {parameter.name} "
                "(a default, *, ** or keyword-only)"
            )


def _wraps(implementation: Any) -> bool:
    return bool(implementation.wrapper or implementation.hookwrapper)


def _listed(names: set[str] | frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def location(error: BaseException) -> str:
    """Return an exception's class and place; never its text, which may hold anything."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    if place is None:
        return type(error).__name__
    return f"{type(error).__name__} at {place.tb_frame.f_code.co_filename}:{place.tb_lineno}"
