from __future__ import annotations

import logging

import pytest

import semtx as st
from semtx._logging import hint, logger
from semtx._settings import VERBOSITIES

SAY = {"error": logger.error, "warning": logger.warning, "info": logger.info, "hint": hint, "debug": logger.debug}


@pytest.mark.parametrize("verbosity", VERBOSITIES)
def test_verbosity_lets_through_its_level_and_those_above(capsys, verbosity):
    with st.settings.override(verbosity=verbosity):
        for level, say in SAY.items():
            say("message of level %s", level)
    heard = capsys.readouterr().err
    allowed = VERBOSITIES[: VERBOSITIES.index(verbosity) + 1]
    for level in VERBOSITIES:
        assert (f"{level.upper()}: message of level {level}" in heard) == (level in allowed)


def test_standard_output_stays_clean(capsys):
    with st.settings.override(verbosity="debug"):
        logger.warning("something")
    assert capsys.readouterr().out == ""


def test_one_logger_with_one_handler():
    assert logger is logging.getLogger("semtx")
    assert len(logger.handlers) == 1


def test_the_root_logger_is_left_alone():
    assert not any(handler in logging.getLogger().handlers for handler in logger.handlers)
