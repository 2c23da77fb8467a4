"""The benchmark of loading compiled steps."""

from benchmarks import loading


def test_table_has_medians_and_compilations_start_with_an_empty_cache(monkeypatch, capsys):
    fits = []

    def first_fit(compiled: str, cache: str, dtype: str) -> float:
        is_new = ("1", cache) not in fits
        fits.append((compiled, cache))
        return 0.5 if compiled == "0" else 9.0 if is_new else float(len(fits))

    monkeypatch.setattr(loading, "first_fit", first_fit)
    monkeypatch.setattr("sys.argv", ["loading", "--repeats", "2", "--compilations", "2"])
    loading.main()
    _, _, compiling, with_cache, numpy = capsys.readouterr().out.splitlines()
    assert compiling == "| compile | 2 | 9.00 | 9.00 | 9.00 |"
    assert with_cache == "| load | 4 | 5.50 | 2.00 | 9.00 |"
    assert numpy == "| NumPy | 4 | 0.50 | 0.50 | 0.50 |"
    assert len({cache for _, cache in fits}) == 2
