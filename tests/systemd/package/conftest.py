"""The package's tests use the objects of the others."""

import importlib.util
import pathlib
import sys

inside = pathlib.Path(__file__).resolve().parents[1] / "inside"
sys.path.insert(0, str(inside))
spec = importlib.util.spec_from_file_location("machine", inside / "conftest.py")
machine = importlib.util.module_from_spec(spec)
sys.modules["machine"] = machine
spec.loader.exec_module(machine)
