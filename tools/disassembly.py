"""Machine code of the kernels: which innermost loops go through the stack.

    python tools/disassembly.py gemm depthwise --isa avx2

A tile's accumulators that the compiler puts on the stack halve the speed and change no result, so only the machine code
shows it. The objects of the build are read where they are newer than the sources; else, or where CC is set, the sources
are compiled with the flags of setup.py. Needs objdump (binutils).
"""

import argparse
import ast
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KERNELS = ROOT / "src_c" / "kernels"
ARITHMETIC = 8  # an innermost loop with so many multiply-adds, additions and products of vectors is a hot one


# ---- objects ----


@cache
def build_settings():
    """The constants of setup.py, which cannot be imported without building."""
    wanted = {"COMMON", "ISAS", "TARGET_MACROS"}
    tree = ast.parse((ROOT / "setup.py").read_text())
    chosen = [node for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id in wanted]
    found = {"os": os}
    exec(compile(ast.Module(chosen, []), "setup.py", "exec"), found)
    assert wanted <= found.keys(), "setup.py must define COMMON, ISAS and TARGET_MACROS"
    return found


def compiler():
    """The command of the C compiler; FileNotFoundError where there is none."""
    command = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(f"disassembly: there must be a C compiler, {command[0]} is not found")
    return command


def built(part, source):
    """The object of a source in the build folder, or None unless it is newer than all C sources."""
    newest = max(path.stat().st_mtime for path in (ROOT / "src_c").glob("*/*.[ch]"))
    name = source.relative_to(ROOT).with_suffix(".o")
    if os.environ.get("CC") is None:  # else the objects of that compiler are meant
        for folder in sorted((ROOT / "build").glob("temp.*")):
            path = folder / part / name
            if path.exists() and path.stat().st_mtime > newest:
                return path
    return None


def object_of(part, source, folder):
    """The object of a source; `part` is an instruction set, or "" for what is compiled once, for any processor."""
    found = built(part, source)
    if found is not None:
        return found
    settings = build_settings()
    macros = (
        [f"-DCNN_ISA_{part.upper()}=1"]
        if part
        else [f"-D{name}={value}" for name, value in settings["TARGET_MACROS"]["x86_64"]]
    )
    flags = settings["ISAS"]["x86_64"][part] if part else []
    path = folder / f"{source.stem}.o"
    subprocess.run(
        [
            *compiler(),
            "-fPIC",
            *settings["COMMON"],
            "-w",
            *flags,
            *macros,
            f"-I{ROOT / 'src_c' / 'include'}",
            "-c",
            source,
            "-o",
            path,
        ],
        check=True,
    )
    return path


def is_by_clang(path):
    """Did clang compile this object?"""
    command = ["objdump", "-s", "-j", ".comment", path]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    lines = re.findall(r"^ [0-9a-f]+ (.{36})", text, re.M)
    return b"clang" in bytes.fromhex("".join(lines).replace(" ", ""))


# ---- machine code ----


class Instruction:
    """Address, mnemonic and operands, as objdump prints them in AT&T's syntax."""

    def __init__(self, address, text):
        self.address = address
        words = re.sub(r"\s+<.*?>|\s+#.*", "", text).split(None, 1)
        while words[0] in ("notrack", "bnd", "lock", "rep", "repz", "repnz", "data16", "cs") and len(words) > 1:
            words = words[1].split(None, 1)
        self.mnemonic, self.operands = words[0], words[1] if len(words) > 1 else ""

    def __str__(self):
        return f"{self.address:x}: {self.mnemonic} {self.operands}"

    @property
    def target(self):
        """Where a jump goes; None for other instructions and for computed jumps."""
        is_jump = self.mnemonic.startswith("j") and not self.operands.startswith("*")
        return int(self.operands.split(",")[0], 16) if is_jump else None

    @property
    def goes_on(self):
        """Can the next instruction be the one behind it?"""
        return not self.mnemonic.startswith(("jmp", "ret", "ud2", "hlt"))


def functions(path):
    """(name, instructions) of all functions of an object."""
    text = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", path], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    found = []
    for line in text.splitlines():
        if header := re.match(r"[0-9a-f]+ <(.+)>:$", line):
            found.append((header[1], []))
        elif match := re.match(r"\s+([0-9a-f]+):\t(.+)$", line):
            if match[2].strip() != "(bad)":
                found[-1][1].append(Instruction(int(match[1], 16), match[2].strip()))
    return found


def blocks_of(instructions):
    """Basic blocks as lists of instructions, and {block: blocks that follow}."""
    inside = {i.address for i in instructions}
    starts = {instructions[0].address} | {i.target for i in instructions if i.target in inside}
    starts |= {
        after.address
        for before, after in zip(instructions, instructions[1:])
        if before.target is not None or not before.goes_on
    }
    blocks = []
    for instruction in instructions:
        if instruction.address in starts:
            blocks.append([])
        blocks[-1].append(instruction)
    number = {block[0].address: i for i, block in enumerate(blocks)}
    follows = []
    for i, block in enumerate(blocks):
        last = block[-1]
        follows.append({number[last.target]} if last.target in number else set())
        if last.goes_on and i + 1 < len(blocks):
            follows[-1].add(i + 1)
    return blocks, follows


def is_filler(instruction):
    """Is it one of the instructions that do nothing?"""
    return instruction.mnemonic.startswith(("nop", "cs")) or str(instruction).endswith("xchg %ax,%ax")


def innermost_loops(instructions):
    """The natural loops that hold no other loop, each as a list of instructions.

    A loop is a jump back to a block that dominates it, with all blocks that lead to the jump without passing it.
    """
    blocks, follows = blocks_of(instructions)
    everything = range(len(blocks))
    precede = [set() for _ in blocks]
    for i in everything:
        for j in follows[i]:
            precede[j].add(i)
    for i in everything:  # what fills the space before a loop is never run
        if i and not precede[i] and all(is_filler(instruction) for instruction in blocks[i]):
            for j in follows[i]:
                precede[j].discard(i)
            follows[i] = set()
    # Targets of computed jumps are entries, like the first block.
    dominators = [{i} if i == 0 or not precede[i] else set(everything) for i in everything]
    changed = True
    while changed:
        changed = False
        for i in everything:
            if i and precede[i]:
                new = {i} | set.intersection(*(dominators[j] for j in precede[i]))
                changed |= new != dominators[i]
                dominators[i] = new
    loops = {}
    for i in everything:
        for header in follows[i] & dominators[i]:
            body, waiting = {header}, [i]
            while waiting:
                block = waiting.pop()
                if block not in body:
                    body.add(block)
                    waiting += precede[block]
            loops.setdefault(header, set()).update(body)
    return [
        [instruction for block in sorted(body) for instruction in blocks[block]]
        for header, body in loops.items()
        if not any(other in body for other in loops if other != header)
    ]


class HotLoop:
    """An innermost loop with much arithmetic.

    Attributes
    ----------
    function : str
    address, length : int
        Of the first instruction; number of instructions.
    arithmetic : int
        Multiply-adds, additions, subtractions and products of vectors of float32.
    vectors, addresses : int
        Instructions that read or write the stack: with vector registers, and all others. Of 64 bits in a vector
        register it is an address, which compilers put there.
    """

    def __init__(self, function, loop, frame_pointer):
        self.function, self.address, self.length = function, loop[0].address, len(loop)
        self.arithmetic = sum(is_arithmetic(i) for i in loop)
        stack = stack_accesses(loop, frame_pointer)
        self.vectors = sum("mm" in i.operands and i.mnemonic != "vmovq" for i in stack)
        self.addresses = len(stack) - self.vectors

    def __str__(self):
        return (
            f"{self.function} at {self.address:x}: {self.length} instructions, {self.arithmetic} of arithmetic, "
            f"on the stack {self.vectors} vectors, {self.addresses} addresses"
        )


def is_arithmetic(instruction):
    return re.match(r"v(fn?m(add|sub)\d+|add|sub|mul)ps$", instruction.mnemonic) is not None


def is_avx(instruction):
    """Does an instruction have a VEX or EVEX prefix of AVX? All their names begin with v, or work on mask registers."""
    return (
        instruction.mnemonic.startswith("v")
        and instruction.mnemonic not in ("verr", "verw")
        or re.search(r"%([yz]mm|k[0-7]\b)", instruction.operands) is not None
    )


def stack_accesses(loop, frame_pointer):
    """The instructions of a loop that read or write the stack; `frame_pointer`: rbp points into it, too."""
    registers = "rsp|rbp" if frame_pointer else "rsp"
    return [
        i
        for i in loop
        if i.mnemonic.startswith(("push", "pop"))
        or re.search(rf"\(%({registers})[,)]", i.operands)
        and not i.mnemonic.startswith(("lea", "nop"))
    ]


def hot_loops(path):
    """The hot loops of an object, as a list of HotLoop."""
    found = []
    for name, instructions in functions(path):
        frame_pointer = any(i.mnemonic.startswith("mov") and i.operands == "%rsp,%rbp" for i in instructions)
        loops = [HotLoop(name, loop, frame_pointer) for loop in innermost_loops(instructions)]
        found += [loop for loop in loops if loop.arithmetic >= ARITHMETIC]
    return found


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "families",
        nargs="*",
        default=["gemm", "winograd", "depthwise"],
        help="files of src_c/kernels (default: %(default)s)",
    )
    parser.add_argument("--isa", nargs="+", default=["avx2", "avx512"])
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        for isa in args.isa:
            for family in args.families:
                loops = hot_loops(object_of(isa, KERNELS / f"{family}.c", Path(folder)))
                on_stack = [loop for loop in loops if loop.vectors or loop.addresses]
                print(f"{family}, {isa}: {len(on_stack)} of {len(loops)} hot loops go through the stack")
                for loop in on_stack:
                    print(f"    {loop}")


if __name__ == "__main__":
    main()
