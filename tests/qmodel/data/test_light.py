"""The light modules stay light."""

import subprocess
import sys


def test_data_modules_do_not_import_the_training_stack():
    code = (
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'qkeras', 'hls4ml', 'sklearn', 'hls', 'board', 'flow'):\n"
        "    sys.modules[name] = None  # importing it raises ImportError\n"
        "from qmodel.data import annotations, fragments, mitdb, splits, synthetic\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
