"""Training steps are traced, not compiled by XLA: compiling took half of the time of most trainings that tests do.

In the tests' own process, and by PYTHONPATH in every Python that they start (kernels of notebooks, Dask workers), where
the interpreter imports a module of this name before all others. TensorFlow is changed when somebody imports it.
"""

import importlib.util
import sys
from importlib.abc import MetaPathFinder


class _Finder(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                traced = module.function
                module.function = lambda *given, jit_compile=None, **options: traced(*given, **options)

            spec.loader.exec_module = exec_module
        return spec


if "tensorflow" not in sys.modules and not any(type(finder).__name__ == "_Finder" for finder in sys.meta_path):
    sys.meta_path.insert(0, _Finder())
