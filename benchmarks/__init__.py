"""Benchmarks: ``python -m benchmarks --help``."""

from __future__ import annotations
