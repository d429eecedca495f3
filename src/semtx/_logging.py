"""The one logger of semtx, with scanpy's verbosity levels."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from semtx._settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

HINT = 15
_LEVELS = {
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "hint": HINT,
    "debug": logging.DEBUG,
}
_hints: ContextVar[bool] = ContextVar("hints", default=True)


class _Verbosity(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= _LEVELS[settings.verbosity]


class _StandardError(logging.StreamHandler):
    """Writes to the current ``sys.stderr``, so that notebooks and pytest capture it."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def _make_logger() -> logging.Logger:
    made = logging.getLogger("semtx")
    if not made.handlers:
        handler = _StandardError()
        handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        made.addHandler(handler)
        # on the logger, so that verbosity holds for handlers that users add too
        made.addFilter(_Verbosity())
        made.setLevel(logging.DEBUG)
        # else a root logger with handlers, as after logging.basicConfig, writes everything again
        made.propagate = False
        logging.addLevelName(HINT, "HINT")
    return made


logger = _make_logger()


def hint(message: str, *args: object) -> None:
    """Log at scanpy's level between info and debug."""
    if _hints.get():
        logger.log(HINT, message, *args)


@contextmanager
def without_hints() -> Iterator[None]:
    """Write into an object that the user never sees, without a word."""
    token = _hints.set(False)
    try:
        yield
    finally:
        _hints.reset(token)
