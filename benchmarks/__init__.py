"""Benchmarks: ``python -m benchmarks --help``.

Peers need an environment each, whose pins conflict::

    python -m venv envs/stagate
    envs/stagate/bin/pip install stagate-modern scanpy scikit-misc
    python -m benchmarks --data DIR --method stagate --envs envs --out benchmarks/results/runs.csv
    python -m benchmarks.report benchmarks/results/runs.csv benchmarks/results/report  # the tables again

The runners read this folder with the peer's Python; STAGATE, GraphST and scVI share their code with ``benchmarks.plug_in``.
"""

from __future__ import annotations
