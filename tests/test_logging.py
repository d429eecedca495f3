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
    # pytest may add its own
    assert [type(handler).__module__ for handler in logger.handlers].count("semtx._logging") == 1


@pytest.fixture
def others():
    """Messages that a handler of somebody else got, of the root logger as after ``logging.basicConfig``, or of ours."""

    class Listener(logging.Handler):
        def __init__(self):
            super().__init__()
            self.heard = []

        def emit(self, record):
            self.heard.append(record.getMessage())

    made = Listener()
    yield made
    logger.removeHandler(made)
    logging.getLogger().removeHandler(made)


def test_nothing_is_written_twice_where_the_root_logger_has_a_handler(others, capsys):
    logging.getLogger().addHandler(others)
    with st.settings.override(verbosity="warning"):
        logger.info("a step")
        logger.warning("a worry")
    assert others.heard == []
    assert capsys.readouterr().err.count("a worry") == 1


def test_verbosity_holds_for_a_handler_that_a_user_adds(others):
    logger.addHandler(others)
    with st.settings.override(verbosity="warning"):
        logger.info("a step")
        logger.warning("a worry")
    assert others.heard == ["a worry"]


def test_the_root_logger_is_left_alone():
    assert not any(type(handler).__module__ == "semtx._logging" for handler in logging.getLogger().handlers)


def test_what_the_user_never_sees_is_written_without_a_word(tissue, capsys):
    with st.settings.override(verbosity="hint"):
        st.tl.semst(tissue, 3, max_epochs=1, accelerator="cpu")
    added = [line.split("added adata.")[1] for line in capsys.readouterr().err.splitlines() if "added adata." in line]
    for place in added:
        slot, key = place.rstrip("]").split("[")
        assert key.strip("'") in getattr(tissue, slot)
    assert "obs['semst']" in added
