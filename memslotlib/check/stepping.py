"""One micro-step of an actor, from its stored local state to the next one.

A local state is a stack of frames: where each function is to be entered, with which locals. Two
local states are the same when those are equal, so locals have to be immutable and compare by value.
"""

from __future__ import annotations

import enum
import sysconfig
import types
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from .errors import ModelError
from .flow import DONE
from .kinds import Member, Symmetric
from .lower import UNBOUND, Lowered, NotGeneratorError, lower
from .model import Instance, Model, Step
from .shared import Blocked, Elements, Shared

_PLAIN = frozenset({int, str, bytes, type(None), type(UNBOUND)})
#: A micro-step that runs more lines is taken for one that does not end.
LINES_MAX = 1_000_000
_NAMED = (types.BuiltinFunctionType, types.FunctionType, types.ModuleType, type, Step, Symmetric)
#: Files whose lines say nothing about a model: the explorer's own, and the standard library's.
_OWN = frozenset(map(str, Path(__file__).parent.glob("*.py"))) - {
    str(Path(__file__).with_name("examples.py"))
}
_LIBRARY = sysconfig.get_path("stdlib")


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

    def start(self, instance: Instance) -> tuple[LocalState, bool]:
        """Return the local state before an actor's first micro-step.

        And whether that is after a first ``yield`` that nothing shared comes before.
        """
        member = () if instance.member is None else (instance.member,)
        arguments = (self.shared, *member, *instance.actor.arguments)
        code, block, saved = self._called(instance.actor.function, arguments, {})
        self.functions[instance.actor.function] = code  # Perhaps a method, of this function.
        out = code.run(0, saved, None, True) if code.runs_ahead else (None, block, saved)
        is_primed = out[1] in code.leading
        if is_primed:
            out = code.run(out[1], out[2], None)
        if len(out) == 1:
            return (), False
        return _trimmed([Frame(code, out[1], out[2])]), is_primed

    def step(self, local: LocalState) -> Moved:
        """Make one micro-step from ``local``; Blocked when it waits."""
        self.lines.clear()
        stack = list(local[:-1])
        code, block, saved = local[-1]
        sent = None
        while True:
            out = (None,) if block == DONE else code.run(block, saved, sent)
            sent = None
            if len(out) == 3:
                stack.append(Frame(code, out[1], out[2]))
                return Moved(_trimmed(stack), out[0])
            if len(out) == 5:
                stack.append(Frame(code, out[3], out[4]))
                code, block, saved = self._called(*out[:3])
            elif stack:
                sent = out[0]
                code, block, saved = stack.pop()
            else:
                return Moved((), None)

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
            found = self.functions[function] = lower(function, self._note)
        return found

    def _note(self, line: tuple[str, int]) -> None:
        """Note a line that runs: the only place where a loop without a ``yield`` comes by."""
        self.lines.append(line)
        if len(self.lines) > LINES_MAX:
            where = "{}:{}".format(*line)
            raise ModelError(f"a micro-step of over {LINES_MAX:,} lines: no end", where=where)

    def guarded(self, actor: str, state: Callable[[], str], run: Callable[[], Any]) -> Any:
        """Call ``run``; whatever goes wrong in it becomes a ModelError with its place."""
        try:
            return run()
        except Blocked:
            raise
        except ModelError as error:
            where = self._place(error.__traceback__)
            raise error.placed(where=where, actor=actor, state=state()) from error.__cause__
        except Exception as error:
            where = self._place(error.__traceback__)
            what = f"{type(error).__name__}: {error}"
            raise ModelError(what, where=where, actor=actor, state=state()) from error

    def _place(self, traceback: TracebackType | None) -> str:
        """Return ``file:line`` of the innermost line that is neither ours nor Python's own.

        Where no such line was running, as when a step ends, it is the last one that did.
        """
        found = "{}:{}".format(*self.lines[-1]) if self.lines else ""
        while traceback is not None:
            file = traceback.tb_frame.f_code.co_filename
            if file not in _OWN and not _is_library(file):
                found = f"{file}:{traceback.tb_lineno}"
            traceback = traceback.tb_next
        return found


def _trimmed(stack: list[Frame]) -> LocalState:
    """Return the frames without those at the end that have nothing left to do."""
    while stack and stack[-1].block == DONE:
        stack.pop()
    return tuple(stack)


def _is_library(file: str) -> bool:
    if file.startswith("<frozen "):
        return True
    return file.startswith(_LIBRARY) and "-packages" not in file


def stand_in(local: LocalState, one: Member, other: Member) -> LocalState:
    """Return a local state of one member as it is of another one."""

    def of_other(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(
            [
                other if value is one else of_other(value) if type(value) is tuple else value
                for value in values
            ]
        )

    return tuple([Frame(code, block, of_other(saved)) for code, block, saved in local])


def frozen(local: LocalState, own: Member | None, shared: Shared) -> tuple[Any, ...]:
    """Return what tells a local state from another: hashable, without the shared state.

    Raises ModelError for a local variable that cannot be stored: it could change behind the
    explorer's back, or equal nothing but itself.
    """
    found = []
    for frame in local:
        keys = []
        for place, value in enumerate(frame.saved):
            # Most locals are one of these: without a call, since this runs for every path.
            if type(value) in _PLAIN:
                keys.append(value)
                continue
            if value is shared or value is own:
                keys.append((type(value), None))
                continue
            try:
                keys.append(_key(value, own, shared, local))
            except _UnstorableError as error:
                name = frame.code.names[frame.block][place]
                function = frame.code.function
                code = function.__code__
                subject = f"local variable {name}" if name[:2] != "__" else "a for"
                raise ModelError(
                    f"{subject} of {function.__name__} {error}",
                    where="" if frame.block else f"{code.co_filename}:{code.co_firstlineno}",
                ) from None
        found.append((frame.code.function, frame.block, tuple(keys)))
    return tuple(found)


class _UnstorableError(Exception):
    """A value cannot be kept over a ``yield``; the text says why."""


def _key(value: Any, own: Member | None, shared: Shared, local: LocalState) -> Any:
    """Return what equals the key of another value only if actors cannot tell the two apart.

    So the type belongs to it: True and 1 are equal, and ``match`` knows one from the other.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if value is shared or value is own:
        return kind, None
    if isinstance(value, Elements):
        return kind, value.name
    if isinstance(value, tuple):
        return kind, tuple(_key(one, own, shared, local) for one in value)
    if isinstance(value, frozenset):
        return kind, frozenset(_key(one, own, shared, local) for one in value)
    if isinstance(value, float):
        return kind, value.hex()
    if isinstance(value, types.FunctionType) and value.__code__ in _nested(local):
        raise _UnstorableError(
            "keeps a function over a yield that is made anew each time: use def, at the top of "
            "the actor, and call it by its name"
        )
    _check(value)
    return kind, value


def _nested(local: LocalState) -> set[types.CodeType]:
    """Return the code of the functions that are made inside of an actor's functions."""
    waiting = [frame.code.run.__code__ for frame in local]
    found: set[types.CodeType] = set()
    while waiting:
        inside = [one for one in waiting.pop().co_consts if isinstance(one, types.CodeType)]
        found.update(inside)
        waiting += inside
    return found


def _check(value: Any) -> None:
    if isinstance(value, Member):
        raise _UnstorableError(
            f"keeps {value} over a yield, which would tell members of {value.of.name} apart: "
            "keep it in a shared variable of kind Ref"
        )
    kind = type(value).__name__
    if isinstance(value, list | dict | set | bytearray):
        raise _UnstorableError(f"keeps a {kind} over a yield, and it can change: use a tuple")
    if isinstance(value, (*_NAMED, enum.Enum)):
        return
    if getattr(type(value), "__hash__", None) in (None, object.__hash__):
        raise _UnstorableError(
            f"keeps a {kind} over a yield, which does not compare by its value: use a tuple, an "
            "enumeration or a frozen dataclass"
        )
    try:
        hash(value)
    except TypeError as error:
        raise _UnstorableError(f"keeps a {kind} over a yield, and {error}") from None
