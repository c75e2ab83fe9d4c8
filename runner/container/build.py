"""Build the image of a variant with the `docker` command, once; say what is being waited for."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from runner.container.engine import connect, find_builder
from runner.container.failures import OUTPUT, explain
from runner.container.image import (
    SOURCE_ROOT,
    Variant,
    image_labels,
    image_tag,
    locked_versions,
    promise_of,
)
from runner.container.promise import provable
from runner.container.unwind import unwound
from runner.record.layout import cache_root

Say = Callable[[str], None]

SAY_SECONDS = 15.0  # between two lines about the same step
STEP = re.compile(  # of docker, and of buildah
    r"(?:#\d+ \[ *(?:\S+ )?|(?:\[\d+/\d+\] )?STEP )(?P<number>\d+/\d+)[\]:] (?P<command>.*)"
)
TORCH = re.compile(r"(?m)^torch===\S+(?: \\\n +--hash=\S+)+")
# The first of these that is set names the certificates of the build.
CERTIFICATES = ("TRAINBOX_CA_BUNDLE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
# BuildKit knows these names: they reach the steps and stay out of the image's history.
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy")
OFFLINE = "[global]\nno-index = true\n"  # else pip asks an index for each wheel that is there


def ensure_image(
    variant: Variant, *, say: Say, root: Path = SOURCE_ROOT, offline: bool = False
) -> str:
    """Return the tag of a variant's image; build it where the engine does not have it.

    Args:
        offline: build it without a network, from wheelhouse/ alone.

    Raises:
        BackendError: no engine, or the build failed.
    """
    from docker.errors import ImageNotFound

    tag = image_tag(variant, root)
    with connect() as client:
        try:
            client.inspect_image(tag)  # type: ignore[no-untyped-call]
            return tag
        except ImageNotFound:
            pass
    return build_image(variant, say=say, root=root, offline=offline)


def build_image(
    variant: Variant, *, say: Say, root: Path = SOURCE_ROOT, offline: bool = False
) -> str:
    """Build a variant's image and return its tag.

    Args:
        offline: its steps have no network; wheels come from wheelhouse/ alone.

    Raises:
        BackendError: the build failed; the text says why, the log has all of it.
    """
    tag = image_tag(variant, root)
    builder = find_builder()
    used = with_obtainable_lock(variant, root, say, offline=offline)
    log = cache_root() / "images" / f"{tag.replace(':', '-')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    say(f"building the image {tag} (once for this code and lock; log: {log})")
    with unwound(), build_secrets(os.environ, offline=offline) as secrets:
        command = [*builder, *build_arguments(used, tag, root, secrets, os.environ)]
        command += ["--network=none"] if offline else []
        command.append(str(root))
        exit_code, output = run_build(command, log, say)
    if exit_code:
        raise explain(output, log)
    say(f"built {tag} in {time.monotonic() - started:.0f} s")
    return tag


def build_arguments(
    variant: Variant,
    tag: str,
    root: Path,
    secrets: Mapping[str, Path],
    environ: Mapping[str, str],
) -> list[str]:
    """Return the arguments of `docker build`, without the folder.

    Args:
        secrets: files that are mounted during the build and stay in no layer, by id.
        environ: proxies are passed by name, never by value.
    """
    return [
        "build",
        "--progress=plain",
        f"--tag={tag}",
        *build_inputs(variant, root, secrets, environ),
    ]


def build_inputs(
    variant: Variant, root: Path, secrets: Mapping[str, Path], environ: Mapping[str, str]
) -> list[str]:
    """Return what an image is made from, as `docker build` and `buildah build` both take it.

    Args:
        environ: TRAINBOX_APT_SNAPSHOT (`20261101T000000Z`) dates the system's packages.
    """
    arguments = [f"--target={variant.target}"] if variant.target else []
    promise = promise_of(variant, root)
    for name, value in (
        ("BASE_IMAGE", variant.base_image),
        ("PYTHON", variant.python),
        ("LOCK", variant.lock),
        ("VARIANT", variant.name),
        ("SNAPSHOT", environ.get("TRAINBOX_APT_SNAPSHOT", "")),
        ("COMPILER", "yes" if promise else ""),
        ("PROMISE", provable(promise)),
        ("REQUIRE_CUDA", f"cuda>={promise.driver_cuda}" if promise else ""),
    ):
        arguments.append(f"--build-arg={name}={value}")
    arguments += [f"--build-arg={name}" for name in PROXIES if environ.get(name)]
    arguments += [f"--label={name}={value}" for name, value in image_labels(variant, root).items()]
    arguments += [f"--secret=id={name},src={path}" for name, path in secrets.items()]
    return arguments


def run_build(
    command: list[str], log: Path, say: Say, environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run a build to its end, its output into the log; return exit code and output."""
    lines: list[str] = []
    said_at = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **(environment or {}), "DOCKER_BUILDKIT": "1"},
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line)
                file.write(line)
                if step := STEP.match(line):
                    said_at = time.monotonic()
                    say(f"  step {step['number']}: {step['command'][:80]}")
                elif time.monotonic() - said_at > SAY_SECONDS and (found := OUTPUT.match(line)):
                    said_at = time.monotonic()
                    say(f"    {found['text'][:90]}")
            return process.wait(), "".join(lines)
        finally:
            process.terminate()  # Ctrl-C; one that has ended is not touched
            process.wait()
            process.stdout.close()


@contextmanager
def build_secrets(
    environ: Mapping[str, str], *, offline: bool = False
) -> Iterator[dict[str, Path]]:
    """Yield the files that are mounted during the build: certificates and pip's settings."""
    with tempfile.TemporaryDirectory() as folder:
        secrets = {}
        certificates = next((environ[name] for name in CERTIFICATES if environ.get(name)), None)
        if certificates and Path(certificates).is_file():
            secrets["ca"] = Path(certificates)
        settings = OFFLINE if offline else pip_settings(_pip("config", "list"))
        if settings:
            secrets["pip"] = Path(folder) / "pip.conf"
            secrets["pip"].write_text(settings, encoding="utf-8")
        yield secrets


def pip_settings(listed: str) -> str:
    """Return a pip.conf with what a build can use of `pip config list`: indexes, not folders."""
    found: dict[str, str] = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        key = name.rpartition(".")[2]
        words = [
            word for word in value.strip("'\"").replace("\\n", " ").split() if "file:" not in word
        ]
        if key in PIP_SETTINGS and words:
            found[key] = " ".join(words)
    if not found:
        return ""
    return "[global]\n" + "".join(f"{key} = {value}\n" for key, value in found.items())


def with_obtainable_lock(
    variant: Variant, root: Path, say: Say, *, offline: bool = False
) -> Variant:
    """Bring the CPU build of torch into the wheelhouse; without it the CUDA lock serves.

    Args:
        offline: take the lock whose torch is in the wheelhouse.
    """
    if variant.lock != "cpu" or has_torch(variant, root):
        return variant
    cuda = replace(variant, lock="cu130")
    if offline and not has_torch(cuda, root):
        return variant  # the build names what is missing
    if not offline and _bring_cpu_torch(variant, root):
        return variant
    say("no CPU build of torch in your pip settings: the CUDA build serves (a larger image)")
    return cuda


def has_torch(variant: Variant, root: Path) -> bool:
    """Tell whether the locked torch of a variant is in the wheelhouse, by its name."""
    version = locked_versions((root / "locks" / f"{variant.lock}.lock").read_text())["torch"]
    tag = f"cp{variant.python.replace('.', '')}"
    return any((root / "wheelhouse").glob(f"torch-{version}-{tag}-*.whl"))


def _bring_cpu_torch(variant: Variant, root: Path) -> bool:
    """Have the locked wheel in wheelhouse/: an index rarely offers it, a find-links folder may."""
    tag = f"cp{variant.python.replace('.', '')}"
    torch = TORCH.search((root / "locks/cpu.lock").read_text(encoding="utf-8"))
    assert torch, "cpu.lock names torch with its hashes"
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirement:
        requirement.write(torch[0] + "\n")
        requirement.flush()
        try:
            _pip(
                "download", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:",
                "--retries=1", f"--python-version={variant.python}", "--implementation=cp",
                f"--platform=manylinux_2_28_{platform.machine()}", f"--abi={tag}",
                f"--dest={root / 'wheelhouse'}", f"--requirement={requirement.name}",
            )  # fmt: skip
        except subprocess.CalledProcessError:
            return False
    return True


def _pip(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    ).stdout
