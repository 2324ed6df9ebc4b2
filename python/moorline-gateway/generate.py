"""Makes the messages of the API from its proto file, or with --check says whether those that are checked in are stale.

python generate.py [--check]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped]

HERE = Path(__file__).resolve().parent
PROTO_ROOT = HERE.parents[1] / "crates" / "gateway-proto" / "proto"
PROTO = "moorline/gateway/v1/gateway.proto"
GENERATED = HERE / "src" / "moorline_gateway" / "proto"


def make(directory: Path) -> dict[str, str]:
    """The files that the proto file gives, by name."""
    # The well-known types come with grpcio-tools.
    well_known = Path(protoc.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{PROTO_ROOT}", f"-I{well_known}", f"--python_out={directory}", f"--pyi_out={directory}"]
    if protoc.main([*arguments, PROTO]) != 0:
        raise SystemExit("the proto file cannot be compiled")
    made = (directory / PROTO).parent
    return {path.name: path.read_text() for path in sorted(made.iterdir())}


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        made = make(Path(directory))
    if "--check" not in sys.argv[1:]:
        for name, text in made.items():
            (GENERATED / name).write_text(text)
        return 0
    stale = [name for name, text in made.items() if (GENERATED / name).read_text() != text]
    for name in stale:
        print(f"{GENERATED / name} is not what the proto file says: run python {Path(__file__).name}")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
