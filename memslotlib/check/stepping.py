"""One micro-step of an actor, from its stored local state to the next one.

A local state is a stack of frames: where each function is to be entered, with which locals. Two
local states are the same when those are equal, so locals have to be immutable and compare by value.
"""

from __future__ import annotations

import enum
import types
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from .errors import ModelError
from .flow import DONE
from .kinds import Member
from .lower import UNBOUND, Lowered, NotGeneratorError, lower
from .model import Instance, Model, Step
from .shared import Blocked, Elements, Shared

_PLAIN = frozenset({int, bool, str, bytes, type(None), type(UNBOUND)})
_NAMED = (types.FunctionType, types.BuiltinFunctionType, types.ModuleType, type, Step)
#: Files whose lines say nothing about a model.
_OWN = frozenset(str(Path(__file__).with_name(f"{n}.py")) for n in ("stepping", "shared", "kinds"))


class Frame(NamedTuple):
    """A function that is suspended: where it goes on, and with which locals."""

    code: Lowered
    block: int
    saved: tuple[Any, ...]


LocalState = tuple[Frame, ...]


class Moved(NamedTuple):
    """A micro-step that was made: the local state after it (empty: returned) and its label."""

    local: LocalState
    label: Any


class Stepper:
    """Runs micro-steps of a model's actors on a view, and notes the lines that they ran."""

    def __init__(self, model: Model, shared: Shared) -> None:
        self.model, self.shared = model, shared
        self.lines: list[tuple[str, int]] = []
        self.functions: dict[Callable[..., Any], Lowered] = {}

    def start(self, instance: Instance) -> LocalState:
        """Return the local state before an actor's first micro-step."""
        code = self._lowered(instance.actor.function)
        member = () if instance.member is None else (instance.member,)
        saved = code.bound((self.shared, *member, *instance.actor.arguments), {})
        if not code.prologue:
            return (Frame(code, 0, saved),)
        out = code.run(0, saved, None)
        return () if len(out) == 1 or out[0] == DONE else (Frame(code, out[0], out[1]),)

    def step(self, local: LocalState) -> Moved:
        """Make one micro-step from ``local``; Blocked when it waits."""
        self.lines.clear()
        stack = list(local[:-1])
        code, block, saved = local[-1]
        sent = None
        while True:
            out = code.run(block, saved, sent)
            sent = None
            if len(out) == 3:
                stack.append(Frame(code, out[0], out[1]))
                return Moved(_trimmed(stack), out[2])
            if len(out) == 5:
                stack.append(Frame(code, out[0], out[1]))
                code, block, saved = self._called(*out[2:])
                if code.prologue == "code":
                    out = code.run(0, saved, None)
                    if len(out) != 1:
                        block, saved = out[0], out[1]
                        continue
                else:
                    continue
            # A return: its value goes to the caller, and on through callers with nothing to do.
            sent = out[0]
            while stack and stack[-1].block == DONE:
                stack.pop()
                sent = None
            if not stack:
                return Moved((), None)
            code, block, saved = stack.pop()

    def _called(self, callee: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Frame:
        if isinstance(callee, Step):
            callee = self.shared.replacement(callee)
        if isinstance(callee, types.MethodType):
            callee, arguments = callee.__func__, (callee.__self__, *arguments)
        try:
            code = self._lowered(callee)
        except NotGeneratorError as error:
            raise ModelError(f"yield from {error}: it is no generator function") from None
        return Frame(code, 0, code.bound(arguments, named))

    def _lowered(self, function: Callable[..., Any]) -> Lowered:
        found = self.functions.get(function)
        if found is None:
            found = self.functions[function] = lower(function, self.lines.append)
        return found

    def guarded(self, actor: str, state: Callable[[], str], run: Callable[[], Any]) -> Any:
        """Call ``run``; whatever goes wrong in it becomes a ModelError with its place."""
        try:
            return run()
        except Blocked:
            raise
        except ModelError as error:
            where = error.where or _place(error.__traceback__)
            if where.startswith(":"):
                where = self.lines[-1][0] + where if self.lines else ""
            raise ModelError(
                error.what, where=where, actor=error.actor or actor, state=error.state or state()
            ) from error.__cause__
        except Exception as error:
            where = _place(error.__traceback__)
            what = f"{type(error).__name__}: {error}"
            raise ModelError(what, where=where, actor=actor, state=state()) from error


def _trimmed(stack: list[Frame]) -> LocalState:
    """Return the frames without those at the end that have nothing left to do."""
    while stack and stack[-1].block == DONE:
        stack.pop()
    return tuple(stack)


def _place(traceback: TracebackType | None) -> str:
    """Return ``file:line`` of the innermost line that is the model's own."""
    found = ""
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if file not in _OWN:
            found = f"{file}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return found


def frozen(local: LocalState, own: Member | None, shared: Shared) -> tuple[Any, ...]:
    """Return what tells a local state from another: hashable, without the shared state.

    Raises ModelError for a local variable that cannot be stored: it could change behind the
    explorer's back, or equal nothing but itself.
    """
    return tuple(
        (
            frame.code.function,
            frame.block,
            tuple(
                value if type(value) in _PLAIN else _key(frame, place, value, own, shared)
                for place, value in enumerate(frame.saved)
            ),
        )
        for frame in local
    )


def _key(frame: Frame, place: int, value: Any, own: Member | None, shared: Shared) -> Any:
    if value is shared or value is own or isinstance(value, Elements):
        return None
    wrong = _unstorable(value)
    if isinstance(value, types.FunctionType):
        inside = f"{frame.code.function.__qualname__}.<locals>."
        if value.__qualname__.startswith(inside):
            wrong = "keeps a function over a yield that is made anew each time: use def, at the top"
    if wrong:
        name = frame.code.names[frame.block][place]
        if name.startswith("__rows"):
            name = "the rows of a for"
        raise ModelError(f"local variable {name} {wrong}", where=_def(frame))
    # Equal values of different types may behave differently, but for True and 1.
    return (type(value), value)


def _def(frame: Frame) -> str:
    code = frame.code.function.__code__
    return f"{code.co_filename}:{code.co_firstlineno}"


def _unstorable(value: Any) -> str:
    """Say what is wrong with keeping ``value`` over a yield; nothing if it may be kept."""
    if isinstance(value, Member):
        return (
            f"keeps {value} over a yield, which would tell members of {value.of.name} apart: "
            "keep it in a shared variable of kind Ref"
        )
    if isinstance(value, tuple | frozenset):
        return next(filter(None, map(_unstorable, value)), "")
    if isinstance(value, list | dict | set | bytearray):
        return f"keeps a {type(value).__name__} over a yield, and it can change: use a tuple"
    if isinstance(value, (*_NAMED, enum.Enum)) or type(value) in _PLAIN:
        return ""
    if getattr(type(value), "__hash__", None) in (None, object.__hash__):
        return (
            f"keeps a {type(value).__name__} over a yield, which does not compare by its value: "
            "use a tuple, an enumeration or a frozen dataclass"
        )
    return ""
