"""Runs in a process of its own: one build or one run of the simulator, as a JSON file says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from cocotb_tools.runner import VerilatorControlFile, get_results, get_runner


def main(path: str) -> int:
    """Do what the file says; returns the exit code."""
    job = json.loads(Path(path).read_text())
    runner = get_runner("verilator")
    if job["do"] == "build":
        runner.build(
            sources=[*job["sources"], VerilatorControlFile(job["control"])],
            includes=job["includes"],
            defines=job["defines"],
            build_args=job["arguments"],
            hdl_toplevel=job["top"],
            build_dir=job["build_dir"],
            always=True,
            timescale=("1ns", "1ps"),
        )
        return 0
    results = runner.test(
        test_module=job["module"],
        hdl_toplevel=job["top"],
        hdl_toplevel_lang="verilog",
        build_dir=job["build_dir"],
        test_dir=job["test_dir"],
        plusargs=job["plusargs"],
        extra_env=job["environment"],
        results_xml=job["results"],
    )
    return int(get_results(results)[1] > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
