"""The programs that offdecode is compared with: Kafka's dump tool, and a decoder in Go."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from functools import cache
from pathlib import Path

from tests.kafka_jars import cache_folder, classpath

_KAFKA = "org.apache.kafka:kafka_2.13:4.1.1"
_DUMP_TOOL = "kafka.tools.DumpLogSegments"  # from 4.2 on org.apache.kafka.tools.DumpLogSegments, which is no faster
_GO_SOURCES = Path(__file__).parent / "go"
_BUILD_SECONDS = 300


def dump_command(segment: Path) -> list[str]:
    """Kafka's dump tool; it prints a line that begins with "| " for each record."""
    return ["java", "-cp", classpath(_KAFKA), _DUMP_TOOL, "--offsets-decoder", "--files", str(segment)]


def go_command(segment: Path, encoder: str) -> list[str]:
    """The Go decoder, which prints offdecode's JSON lines. encoder: "json" (encoding/json) or "append" (by hand)."""
    return [str(_go_program()), "-encoder", encoder, str(segment)]


def has_go() -> bool:
    return shutil.which("go") is not None


@cache
def _go_program() -> Path:
    sources = sorted(path for path in _GO_SOURCES.iterdir() if path.suffix in (".go", ".mod", ".sum"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    program = cache_folder() / "go" / f"peer-{digest}"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        command = ["go", "build", "-o", str(program), "."]
        done = subprocess.run(
            command, cwd=_GO_SOURCES, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-4000:]}"
    return program
