"""The compiled steps use numba's internals, which may change with each of its versions."""

import tomllib
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

pytest.importorskip("numba", reason="compiled steps need numba")

WHAT_TO_DO = (
    "When numba moves: read in its change log what happened to the internals below; run tests/compiled, tests/training "
    "and python -m benchmarks.products with the new version; mend adapters.py, build.py, fast_maths.py, "
    "intrinsics.py and loader.py in skmlp/compiled, which use them; then raise the upper bound "
    "in pyproject.toml: the extra 'fast', the groups "
    "'test' and 'bench'."
)


def requirements():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    lists = [project["project"]["optional-dependencies"]["fast"]]
    lists += [project["dependency-groups"][group] for group in ("test", "bench")]
    return [Requirement(line) for each in lists for line in each if str(line).startswith("numba")]


def test_the_extra_and_the_groups_have_one_bound_and_it_holds_what_is_installed():
    extra, *groups = requirements()
    assert [each.specifier for each in groups] == [extra.specifier] * 2
    assert any(each.operator == "<" for each in extra.specifier), WHAT_TO_DO
    assert extra.specifier.contains(version("numba")), WHAT_TO_DO


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("numba.core.cgutils", "alloca_once"),
        ("numba.core.cgutils", "as_bool_bit"),
        ("numba.np.numpy_support", "carray"),
        ("numba.core.cgutils", "get_or_insert_function"),
        ("numba.core.cgutils", "unpack_tuple"),
        ("numba.core.codegen", "CPUCodeLibrary._ensure_finalized"),
        ("numba.core.codegen", "CPUCodeLibrary._optimize_final_module"),
        ("numba.core.codegen", "JITCPUCodegen._add_module"),
        ("numba.core.codegen", "JITCodeLibrary._finalize_specific"),
        ("numba.core.compiler_lock", "global_compiler_lock"),
        ("numba.core.config", "DISABLE_JIT"),
        ("numba.core.config", "OPT"),
        ("numba.core.cpu", "CPUContext.get_executable"),
        ("numba.core.registry", "cpu_target.target_context"),
        ("numba.extending", "models.PrimitiveModel"),
        ("numba.extending", "register_model"),
        ("numba.np.arrayobj", "populate_array"),
        ("llvmlite.binding", "ExecutionEngine.add_object_file"),
        ("llvmlite.binding", "ObjectFileRef.from_data"),
        ("llvmlite.binding", "add_symbol"),
        ("llvmlite.ir", "VectorType"),
        ("llvmlite.ir", "IRBuilder.load_atomic"),
        ("llvmlite.ir", "IRBuilder.store_atomic"),
        ("llvmlite.ir", "IRBuilder.shuffle_vector"),
    ],
)
def test_the_internals_in_use_exist(module, name):
    found = import_module(module)
    for part in name.split("."):
        found = getattr(found, part, None)
        assert found is not None, f"{module}.{name}: {WHAT_TO_DO}"
