import ctypes

import numpy as np
import pytest


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
    """An empty folder for machine code."""
    from skmlp.compiled import files

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    files.folder.cache_clear()
    yield tmp_path / "skmlp"
    files.folder.cache_clear()


@pytest.fixture
def compiled_call():
    """Return a function that compiles another one for arrays and calls it, without keeping it."""
    from numba import types

    from skmlp.compiled import loader
    from skmlp.compiled.build import compiled_object
    from skmlp.compiled.intrinsics import array_at

    addresses = {}

    def address_of(function, arrays):
        key = function, tuple((array.dtype.name, array.ndim) for array in arrays)
        if key not in addresses:
            addresses[key] = loader._load(*compiled_object(*_adapter(function, arrays)))
        return addresses[key]

    def _adapter(function, arrays):
        from skmlp.compiled.build import jitted

        compiled, kinds = jitted(function), [(getattr(types, a.dtype.name), a.ndim) for a in arrays]
        source = "def adapter(places, shapes):\n"
        names = []
        for i, (_, n_axes) in enumerate(kinds):
            shape = ", ".join(f"shapes[{2 * i + axis}]" for axis in range(n_axes))
            names.append(f"array_at(d{i}, places[{i}], ({shape},))")
        source += f"    compiled({', '.join(names)})\n    return 0.0\n"
        namespace = {"array_at": array_at, "compiled": compiled}
        namespace.update({f"d{i}": np.dtype(a.dtype).type for i, a in enumerate(arrays)})
        exec(source, namespace)
        pointer = types.CPointer(types.int64)
        return namespace["adapter"], (pointer, pointer)

    def call(function, *arrays):
        places = np.array([array.ctypes.data for array in arrays])
        shapes = np.array([side for array in arrays for side in (*array.shape, 0)[:2]])
        result = np.zeros(2)
        run = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 4)(address_of(function, arrays))
        run(result.ctypes.data, result.ctypes.data + 8, places.ctypes.data, shapes.ctypes.data)

    return call
