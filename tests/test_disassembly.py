"""What the compiler made of the C code: the hot loops keep their sums in registers, and what must run on any x86-64
holds no AVX. The analysis is in tools/disassembly.py, which also reports loop by loop."""

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "src_c"

pytestmark = [
    pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="reads x86-64 machine code"),
    pytest.mark.skipif(not (ROOT / "tools").is_dir() or not SOURCES.is_dir(), reason="needs the source tree"),
    pytest.mark.skipif(shutil.which("objdump") is None, reason="needs objdump (binutils)"),
]


@pytest.fixture
def disassembly(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    import disassembly

    try:
        disassembly.compiler()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    return disassembly


@pytest.mark.parametrize("isa", ["avx2", "avx512"])
def test_tiles_keep_their_sums_in_registers(isa, disassembly, tmp_path):
    """No vector goes through the stack in the loops of the GEMM tiles. Tiles of nine and more rows have more addresses
    than x86-64 has registers: reloading one for two multiply-adds is the most that is let pass."""
    path = disassembly.object_of(isa, SOURCES / "kernels" / "gemm.c", tmp_path)
    if disassembly.is_by_clang(path):
        pytest.skip("clang puts sums of some tiles on the stack: build with gcc for speed")
    loops = disassembly.hot_loops(path)
    assert len(loops) >= 20
    assert not [str(loop) for loop in loops if loop.vectors]
    assert not [str(loop) for loop in loops if 2 * loop.addresses > loop.arithmetic]


@pytest.mark.parametrize("isa", ["avx2", "avx512"])
def test_products_of_few_rows_keep_their_sums_in_registers(isa, disassembly, tmp_path):
    loops = disassembly.hot_loops(disassembly.object_of(isa, SOURCES / "kernels" / "few_rows.c", tmp_path))
    assert {loop.function for loop in loops} >= {"product", "product_transposed"}
    assert not [str(loop) for loop in loops if loop.vectors]


@pytest.mark.parametrize("isa", ["avx2", "avx512"])
def test_transforms_write_a_tile_to_the_stack_once(isa, disassembly, tmp_path):
    """The 36 vectors of a tile of Winograd's algorithm, 81 with stride 2, are more than there are registers:
    transformed along one side they may be stored and loaded once, no more: in a loop that holds several variants of a
    transform (edges, moments) that is one vector for two operations, three for five where there are three results
    along a side, and fewer operations, two for three with stride 2. The products keep all in registers."""
    loops = []
    for source in ("winograd", "winograd_2x2", "winograd_4x4", "winograd_5x5", "winograd_folded", "winograd_strided"):
        loops += disassembly.hot_loops(disassembly.object_of(isa, SOURCES / "kernels" / f"{source}.c", tmp_path))
    sizes = ("4x4", "4x3", "4x2", "3x4", "3x3", "2x4", "2x2")
    forms = {f"{name}_{form}" for name in ("input", "output") for form in ("2", "folded_3x3", *sizes)}
    strided = ("input_strided", "input_back_0", "input_back_1", "output_strided", "output_back")
    forms |= {f"{name}_{size}" for name in strided for size in sizes}
    forms |= {f"{name}_of_5x5" for name in ("input", "output", "weights", "gradient")}
    forms |= {f"weights_{form}" for form in ("2", "4", "folded_3x3", "strided")}
    forms |= {f"gradient_{form}" for form in ("folded_3x3", *sizes, *(f"strided_{size}" for size in sizes))}
    assert {loop.function for loop in loops} >= forms | {"weight_gradient", "weight_gradient_strided"}

    def limit(loop):
        if any(form in loop.function for form in ("strided", "back")):
            return max(2 * 81, loop.arithmetic * 2 // 3)
        return max(2 * 36, loop.arithmetic * 3 // 5 if "3" in loop.function else loop.arithmetic // 2)

    assert not [str(loop) for loop in loops if loop.vectors > limit(loop)]
    products = [loop for loop in loops if loop.function.startswith(("product_", "outer_"))]
    assert len(products) >= 12
    assert not [str(loop) for loop in products if loop.vectors]


def test_pooled_products_and_inner_columns_keep_all_in_registers(disassembly, tmp_path):
    """With 32 registers: the products that maxima look up, and two rows of a depthwise convolution's outputs where all
    columns exist, of either stride. At the borders, where a row has a column or two, there is no room for all."""
    loops = disassembly.hot_loops(disassembly.object_of("avx512", SOURCES / "kernels" / "pool.c", tmp_path))
    products = [loop for loop in loops if loop.function == "products"]
    assert len(products) >= 8 and not [str(loop) for loop in products if loop.vectors]
    path = disassembly.object_of("avx512", SOURCES / "kernels" / "depthwise_normalised.c", tmp_path)
    assert sum(loop.arithmetic >= 40 and not loop.vectors for loop in disassembly.hot_loops(path)) >= 3


BASELINE = sorted([*SOURCES.glob("runtime/*.c"), *SOURCES.glob("ops/*.c")])


@pytest.mark.parametrize(
    "part, sources",
    [("", BASELINE), ("generic", sorted(SOURCES.glob("kernels/*.c")))],
    ids=["runtime and ops", "generic kernels"],
)
def test_baseline_objects_hold_no_avx(part, sources, disassembly, tmp_path):
    count = 0
    for source in sources:
        for name, instructions in disassembly.functions(disassembly.object_of(part, source, tmp_path)):
            count += len(instructions)
            found = [str(i) for i in instructions if disassembly.is_avx(i)]
            assert not found, f"{source.name}, {name}: {found[:3]}"
    assert count > 1000


CODE = """
float sum(const float *x, long n) {{
    float s = 0;
    for (long i = 0; i < n; i++)
        for (long j = 0; j < 8; j++) {statement}
    return s;
}}
"""


@pytest.mark.parametrize(
    "statement, on_stack", [("s += x[i * j];", False), ("{ volatile float t = x[i + j]; s += t; }", True)]
)
def test_the_analysis_finds_loops_and_stack_accesses(statement, on_stack, disassembly, tmp_path):
    """Of code compiled here: the inner loop is found, and a volatile variable in it is on the stack."""
    source, path = tmp_path / "sum.c", tmp_path / "sum.o"
    source.write_text(CODE.format(statement=statement))
    subprocess.run(
        [*disassembly.compiler(), "-O1", "-fomit-frame-pointer", "-fno-unroll-loops", "-c", source, "-o", path],
        check=True,
    )
    loops = [loop for _, code in disassembly.functions(path) for loop in disassembly.innermost_loops(code)]
    assert len(loops) == 1
    assert bool(disassembly.stack_accesses(loops[0], frame_pointer=False)) == on_stack
    assert not any(disassembly.is_avx(i) for i in loops[0])


def test_avx_is_recognised(disassembly):
    for text, expected in (
        ("vaddps %ymm0,%ymm1,%ymm2", True),
        ("vzeroupper", True),
        ("kmovw %k1,%eax", True),
        ("vmovss (%rax),%xmm0", True),
        ("mulps %xmm0,%xmm1", False),
        ("mov %rax,0x8(%rsp)", False),
    ):
        assert disassembly.is_avx(disassembly.Instruction(0, text)) == expected
