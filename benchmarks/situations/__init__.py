"""Time and memory of skmlp and scikit-learn: one row and millions, from disk, sparse data, and a search.

    python -m benchmarks.situations [--only TEXT] [--quick] [--threads 1] [--output benchmarks/results]
    python -m benchmarks.situations --docs docs

Every measurement has a process of its own, so that nothing before adds to its peak memory. The processes of both
packages take turns, in an order that rotates. Imports, compiling and making the data are excluded from time and memory.

Results are written to ``situations.json`` in the output folder after each case, and from there to ``situations.md``.
With ``--docs`` nothing is measured, and the stored table is written to ``benchmarks.md`` in that folder.
"""
