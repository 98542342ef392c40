"""Proofs about a generated core's control, for all time and every input, with yosys and the abc inside it.

The promises stand in the Verilog itself, under FORMAL: FIFOs never overflow; AXI-Stream valid, data and last hold until
they are taken; a module takes exactly one frame's beats and gives exactly one frame's beats, by the network's shapes
and not by its own parameters; a layer that has a beat to take and room for what it makes never stands still; AXI4-Lite.
Data and arithmetic are anything (`verilog/formal`): whether the integers are right is the simulation's part.

A core is proved part by part: a layer with its pools and its FIFO, the streams' ends, the registers. Around a part
everything is free to do anything at any time, so its promises hold in every core. All promises of a part are proved
together by k-induction: that no reset state breaks one within k cycles (bounded model checking), and that k cycles
without a broken one are followed by another. Where that fails, bounded model checking looks for the promise that is
broken first; where it finds none, property-directed reachability (Bradley 2011) takes every promise by itself.

Progress is proved on the FIFOs and streams of the whole core with its layers free, but for what is proved of each
(`alq_progress.v`). Where branches meet that forgets too much; there the whole core is taken as it is.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from hls.core.generate import VERILOG, Core
from hls.core.layout import Instance, layout
from hls.process import ToolError, run
from hls.tools.yosys import read, run_script, with_tables

PROVED, REFUTED, BOUNDED = "proved", "refuted", "bounded"
PROGRESS = "progress"  # the part that has something of the whole core
TIMEOUT = 600  # seconds for one run of a tool
INDUCTION = 40  # cycles; a FIFO's promise takes about the registers of the layer before it
ASSERTED = re.compile(r"Output\s+(\d+) (?:.* )?was asserted in frame\s+(\d+)")  # what abc says of a broken promise
BOUND = 5000  # cycles of bounded model checking
INDUCTION_S, BOUNDED_S, SEARCH_S = 60, 20, 30  # for one part


class Proof(NamedTuple):
    """A promise and what became of it.

    Args: part: of the core; name: the promise, as module instance and label in the Verilog; state: "proved" for all
        time, "refuted", or "bounded": not decided; cycles: after reset, until it is broken or for which it holds.
    """

    part: str
    name: str
    state: str
    cycles: int | None = None


def parts_of(core: Core) -> dict[str, list[str]]:
    """Names of the instances of every part, by the part's name."""
    instances = [item for item in layout(core.plan, core.top, core.input_bits).items if isinstance(item, Instance)]
    parts: list[list[str]] = [[]]
    ends = False
    for one in instances:
        if one.module == "alq_registers":
            continue
        if ends and one.module != "alq_fifo":  # all FIFOs of a writer: it waits for each of them
            parts.append([])
        parts[-1].append(one.name)
        ends = one.module in ("alq_fifo", "alq_source")
    if not ends:  # the output holds what the last FIFO holds
        tail = parts.pop()
        parts[-1] += tail
    found = {own[0]: own for own in parts} | {"registers": ["registers"]}
    branches = any(len(segment.sources) > 1 or len(segment.buffers) > 1 for segment in core.plan.segments)
    free = ("alq_registers",) if branches else ("alq_registers", "alq_layer")
    return found | {PROGRESS: [*(one.name for one in instances if one.module not in free), "progress"]}


def prove(core: Core, folder: str | Path, only: Sequence[str] | None = None) -> list[Proof]:
    """Prove the promises of a core's modules (module docstring). Raises: ToolError: a tool is missing or failed.

    Args: folder: gets the parts as AIGER files, with logs; only: parts to prove, by the names that `parts_of` gives,
        default all.
    """
    folder = Path(folder).absolute()
    parts = parts_of(core)
    parts = {name: own for name, own in parts.items() if only is None or name in only}
    _write_parts(core, folder, parts)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # the work is in processes of their own
        return [one for own in pool.map(lambda part: _prove_part(folder, part), parts) for one in own]


def _write_parts(core: Core, folder: Path, parts: dict[str, list[str]]) -> None:
    """Every part as and-inverter graph `<part>.aig`, with the names of its promises in `<part>.json`."""
    names = {name for own in parts_of(core).values() for name in own}
    steps = [
        read(core, "formal", [VERILOG / "formal" / "alq_progress.v"], "-formal"),
        f"hierarchy -check -top {core.top}",
        "proc -noopt",
    ]
    for number, own in enumerate(parts.values()):
        gone = " ".join(f"part_{number}/c:{name}" for name in sorted(names - set(own)))
        steps += [f"copy {core.top} part_{number}", *([f"delete {gone}"] if gone else [])]
    steps += [
        f"delete {core.top}",
        "setattr -mod -unset top part_*",
        "flatten",
        "delete * part_* %d",
        "delete -port part_*/o:*",
        "setattr -unset keep part_*/w:*",
        "cutpoint part_*/w:registers.word",  # what is read from a register is data
        "chformal -lower",
        *_with_the_rest_assumed([f"part_{number}" for number, part in enumerate(parts) if part == PROGRESS]),
        *("opt_clean", "opt_expr", "opt_clean", "opt_mem", "wreduce", "opt_expr -fine", "opt_clean"),
        *("memory_map", "opt_clean", "async2sync", "dffunmap", "setundef -undriven -anyseq", "simplemap", "techmap"),
        *("opt_expr", "opt_clean", "setundef -anyseq", "aigmap", "opt_clean"),
        *(f"design -copy-to own_{number} part_{number}" for number in range(len(parts))),
    ]
    for number, part in enumerate(parts):
        steps += [f"design -load own_{number}", f"hierarchy -top part_{number}"]
        steps.append(f"write_aiger -zinit -B -ywmap {part}.json {part}.aig")
    run_script(steps, with_tables(core, folder), "parts")


def _with_the_rest_assumed(parts: list[str]) -> list[str]:
    """For progress: what FIFOs promise is proved elsewhere and assumed; the rest that is proved is of no help."""
    steps = []
    for part in parts:
        steps.append(f"delete {part}/t:$assert {part}/c:*.pointers_agree %d {part}/c:progress.* %d")
        steps.append(f"chformal -assert2assume {part}/t:$assert {part}/c:progress.* %d")
    return steps


def _abc(folder: Path, part: str, name: str, commands: str) -> str:
    """Run abc on a part; returns what it says."""
    import pyosys

    program = Path(pyosys.__file__).with_name("yosys-abc")
    if not program.is_file():
        raise ToolError(f"the abc of yosys was not found: {program}")
    log = run([str(program), "-c", f"read_aiger {part}.aig; strash; fold; {commands}"], folder, name, TIMEOUT)
    return log.read_text(errors="replace")


def _prove_part(folder: Path, part: str) -> list[Proof]:
    names = [".".join(path).replace("\\", "") for path in json.loads((folder / f"{part}.json").read_text())["asserts"]]
    together = _abc(folder, part, f"{part}_induction.log", f"orpos; ind -F {INDUCTION} -T {INDUCTION_S} -v")
    if "Networks are equivalent" in together:
        found = re.search(r"Completed (\d+) iterations", together)
        if found is None:
            raise ToolError(f"abc did not say how many cycles its induction took: see {folder / part}_induction.log")
        cycles = int(found[1])
        base = _abc(folder, part, f"{part}_base.log", f"orpos; bmc3 -F {cycles + 1} -T {INDUCTION_S}")
        if f"No output asserted in {cycles + 1} frames" in base:
            return [Proof(part, name, PROVED) for name in names]
    shallow = _abc(folder, part, f"{part}_bounded.log", f"orpos; bmc3 -F {BOUND} -T {BOUNDED_S}")
    if broken := ASSERTED.search(shallow):  # some promise: which one, and how do the others fare until then?
        frame = int(broken[2])
        first = ASSERTED.search(_abc(folder, part, f"{part}_first.log", f"bmc3 -S {frame} -F {frame + 1}"))
        which = int(first[1]) if first else None
        if which is None:
            raise ToolError(f"abc did not say which promise is broken: see {folder / part}_first.log")
        return [Proof(part, name, REFUTED if at == which else BOUNDED, frame) for at, name in enumerate(names)]
    search = _abc(folder, part, f"{part}_search.log", f"pdr -a -T {SEARCH_S}")
    held = re.search(r"Reached timeout .* in frame (\d+)", search)
    proofs = [Proof(part, name, BOUNDED, int(held[1]) - 1 if held else 0) for name in names]
    for at in re.findall(r"Proved output\s+(\d+) ", search):
        proofs[int(at)] = Proof(part, names[int(at)], PROVED)
    for at, frame in ASSERTED.findall(search):
        proofs[int(at)] = Proof(part, names[int(at)], REFUTED, int(frame))
    return proofs


def lines(proofs: Sequence[Proof]) -> list[str]:
    """What was proved, for a terminal: a count, and every promise that was not proved."""
    proved = sum(one.state == PROVED for one in proofs)
    text = [f"{proved} of {len(proofs)} promises proved for all time"]
    for one in proofs:
        if one.state == REFUTED:
            text.append(f"  {one.part}: {one.name} is broken {one.cycles} cycles after reset")
        elif one.state == BOUNDED:
            text.append(f"  {one.part}: {one.name} holds for {one.cycles} cycles after reset; not decided beyond")
    return text
