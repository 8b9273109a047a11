"""Former names of the Python API, which work for one more minor version."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


def renamed_parameters(**names: str) -> Callable[[F], F]:
    """
    Let a function accept parameters by their former names too, with a C{DeprecationWarning}.

    @param names: the present name of each by its former one.
    @return: a decorator.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def accepting(*args: Any, **kwargs: Any) -> Any:
            for former, present in names.items():
                if former in kwargs:
                    if present in kwargs:
                        raise TypeError(f"{former} is the former name of {present}: give one")
                    warnings.warn(
                        f"{function.__qualname__}() takes {present} instead of {former}",
                        DeprecationWarning,
                        stacklevel=2,
                    )
                    kwargs[present] = kwargs.pop(former)
            return function(*args, **kwargs)

        return cast(F, accepting)

    return decorate
