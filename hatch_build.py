"""Compile the engine while the package is built: what hatchling calls for wheels and `-e`."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def _engine() -> Any:
    """The engine's build script: the package itself is not installed yet."""
    place = Path(__file__).parent / "src" / "handgrad" / "engine" / "build.py"
    spec = importlib.util.spec_from_file_location("handgrad_engine_build", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class EngineHook(BuildHookInterface[Any]):
    """One wheel a platform, for every Python: the engine is called through its C interface."""

    def dependencies(self) -> list[str]:
        """A compiler, where this machine has none."""
        engine = _engine()
        try:
            engine.compiler()
        except engine.NoCompilerError:
            return ["ziglang>=0.13"]
        return []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; without a compiler go on without the engine."""
        engine = _engine()
        try:
            engine.build()
        except engine.NoCompilerError as error:
            print(f"handgrad is installed without its engine: {error}", file=sys.stderr)
            return
        from packaging.tags import platform_tags

        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{next(platform_tags())}"
