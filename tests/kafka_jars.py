"""Kafka's jars for tests: fetched by Maven into a cache folder outside the checkout, then used by zipfile or java.

Everything here skips the test where Java or Maven is missing, and fails it under OFFDECODE_REQUIRE_BROKER=1.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

_MAVEN_SECONDS = 900
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion>
<groupId>offdecode</groupId><artifactId>tests</artifactId><version>0</version><packaging>pom</packaging>
<dependencies>{dependencies}</dependencies>
</project>
"""


def require_java() -> None:
    """Skip the test without Java and Maven; fail it where the environment says that they must be there."""
    missing = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    if not missing:
        return
    reason = f"needs {' and '.join(missing)}"
    if os.environ.get("OFFDECODE_REQUIRE_BROKER") == "1":
        pytest.fail(f"{reason}, and OFFDECODE_REQUIRE_BROKER=1 forbids to skip")
    pytest.skip(reason)


def cache_folder() -> Path:
    """Where fetched jars are kept: OFFDECODE_TEST_CACHE, or a folder in the user's cache."""
    return Path(os.environ.get("OFFDECODE_TEST_CACHE") or Path.home() / ".cache" / "offdecode-tests")


@cache
def jar(group: str, artifact: str, version: str) -> Path:
    """One jar, without what it depends on."""
    target = cache_folder() / "jars" / group / f"{artifact}-{version}.jar"
    if not target.exists():
        require_java()
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            _maven(
                "dependency:copy",
                f"-Dartifact={group}:{artifact}:{version}:jar",
                f"-DoutputDirectory={folder}",
            )
            (found,) = Path(folder).glob("*.jar")
            found.replace(target)
    return target


@cache
def classpath(*coordinates: str) -> str:
    """Java's class path of the coordinates ("group:artifact:version") with all that they depend on."""
    require_java()
    name = hashlib.sha256("\n".join(sorted(coordinates)).encode()).hexdigest()[:16]
    target = cache_folder() / "classpaths" / name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            pom = Path(folder) / "pom.xml"
            pom.write_text(_POM.format(dependencies="".join(map(_dependency, coordinates))), encoding="utf-8")
            jars = Path(folder) / "jars"
            _maven("dependency:copy-dependencies", "-f", str(pom), f"-DoutputDirectory={jars}")
            if not target.exists():  # another test process may have been faster
                jars.replace(target)
    return f"{target}{os.sep}*"


def run_java(source: Path, path: str, *arguments: str, stdin: str = "", seconds: int = 300) -> str:
    """What a single-file Java program prints; its standard error stands in the failure."""
    require_java()
    command = ["java", "-Xmx400m", "-cp", path, str(source), *arguments]
    done = subprocess.run(command, input=stdin.encode(), capture_output=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"{source.name} ended with {done.returncode}:\n{done.stderr.decode()[-4000:]}"
    return done.stdout.decode()


def _dependency(coordinate: str) -> str:
    group, artifact, version = map(escape, coordinate.split(":"))
    return (
        f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
        f"<version>{version}</version></dependency>"
    )


def _maven(*arguments: str) -> None:
    command = ["mvn", "-q", "-B", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_MAVEN_SECONDS, check=False)
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-4000:]}"
