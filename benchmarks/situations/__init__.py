"""How skmlp and scikit-learn fare with one row and with millions, from disk, with sparse data and in a search.

    python -m benchmarks.situations [--only TEXT] [--quick] [--threads 1] [--output benchmarks/results]
    python -m benchmarks.situations --docs docs

Every figure comes from a process of its own: its peak memory is that of the situation and of nothing before it. The
processes of both packages take turns, in an order that rotates. Importing, compiling and making the data are neither in
the time nor in the memory.

Results go to ``situations.json`` in the output folder after each case, and from there to ``situations.md``; with
``--docs`` nothing is measured, and the stored table goes into ``benchmarks.md`` in that folder, too.
"""
