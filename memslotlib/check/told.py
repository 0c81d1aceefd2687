"""What a model's digest is made of: the text of its functions, and the values around them.

The same in every run, and under every version of Python: no address, no order of a set.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import functools
import inspect
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

from .kinds import Member, Symmetric

_PLAIN = (int, str, bytes, float, type(None), Member, Symmetric)


class Told:
    """Tells values as text, each function once."""

    def __init__(self) -> None:
        self._functions: set[types.FunctionType] = set()

    def value(self, value: Any) -> str:
        """Return text that tells this value from others, as far as it is plain or a function.

        >>> Told().value((1, frozenset({"b", "a"}), object()))
        "(1, {'a', 'b'}, object)"
        """
        if isinstance(value, enum.Enum):
            return f"{type(value).__name__}.{value.name}"
        if isinstance(value, _PLAIN):
            return repr(value)
        if isinstance(value, tuple | list):
            return f"({', '.join(map(self.value, value))})"
        if isinstance(value, frozenset | set):
            return f"{{{', '.join(sorted(map(self.value, value)))}}}"
        if isinstance(value, Mapping):
            return self.value(list(value.items()))
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = [getattr(value, one.name) for one in dataclasses.fields(value) if one.compare]
            return type(value).__name__ + self.value(fields)
        function = inspect.unwrap(value) if callable(value) else value
        if isinstance(function, types.MethodType):
            return self.value((function.__func__, function.__self__))
        if isinstance(function, types.FunctionType):
            return self._function(function)
        name = value if isinstance(value, type | types.ModuleType) else type(value)
        return str(name.__name__)

    def _function(self, function: types.FunctionType) -> str:
        module = str(function.__module__).partition(".")[0]
        code = function.__code__
        if module in sys.stdlib_module_names or function in self._functions:
            return code.co_name
        self._functions.add(function)
        text = _text(code)
        around = dict(_around(function))
        said = [f"{name}={self.value(around[name])}" for name in sorted(around)]
        defaults = self.value((function.__defaults__, function.__kwdefaults__))
        return "\n".join([text, *said, defaults])


@functools.lru_cache(maxsize=1024)
def _text(code: types.CodeType) -> str:
    try:
        return inspect.getsource(code)
    except (OSError, TypeError):
        return code.co_name


def _around(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield what a function, and those in it, take from around them."""
    for name in _names(function.__code__):
        if name in function.__globals__:
            yield name, function.__globals__[name]
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    for name, cell in cells:
        with contextlib.suppress(ValueError):  # Nothing is in it yet.
            yield name, cell.cell_contents


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for one in code.co_consts:
        if isinstance(one, types.CodeType):
            yield from _names(one)
