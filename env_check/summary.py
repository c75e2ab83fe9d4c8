"""The machine in a few lines, and the verdict in one."""

from __future__ import annotations

from env_check.choose import Choice
from env_check.facts import Facts, Image, Requirements, Unknown, known
from env_check.findings import Finding, Status
from env_check.inference import card_names, driver, gib, has_gpu

DEMO = "demo and tests will run"


def lines(facts: Facts) -> tuple[tuple[str, str], ...]:
    """Return what this machine is, one subject a line."""
    return (
        ("machine", _machine(facts)),
        ("GPU", _gpu(facts)),
        ("driver", _driver(facts)),
        ("docker", _docker(facts)),
        *((("image", _image(facts.image)),) if facts.image else ()),
        ("python", _python(facts)),
        ("torch", _torch(facts)),
        ("memory", _memory(facts)),
        ("disk", _disk(facts)),
        *((("job", _job(facts.requirements)),) if facts.requirements else ()),
        *((("tried", _tried(facts)),) if facts.deep else ()),
    )


def _machine(facts: Facts) -> str:
    host = facts.host
    where = [host.distribution_name or host.system, f"{host.machine}, Linux {host.kernel}"]
    if host.system != "Linux":
        where = [f"{host.system} {host.kernel}".strip(), host.machine]
    where += [f"WSL {host.wsl}"] if host.wsl else []
    where += [f"in a container ({host.container})"] if host.container else []
    where += [host.service] if host.service else []
    return ", ".join(where)


def _gpu(facts: Facts) -> str:
    if not facts.gpu.devices:
        return card_names(facts) or ("not listed" if has_gpu(facts) else "no NVIDIA card")
    words = []
    for device in facts.gpu.devices:
        memory = device.memory_total_bytes
        size = "memory not printed" if isinstance(memory, Unknown) else gib(memory)
        capability = known(device.compute_capability, "unknown")
        words.append(f"{device.name} ({size}, compute capability {capability})")
    return "; ".join(
        f"{words.count(each)} x {each}" if words.count(each) > 1 else each
        for each in dict.fromkeys(words)
    )


def _driver(facts: Facts) -> str:
    if not has_gpu(facts):
        return "none needed"
    version = driver(facts) or "not loaded"
    cuda = known(facts.gpu.cuda_version, None) if driver(facts) else None
    kind = {True: ", open module", False: ", proprietary module"}
    words = kind.get(facts.gpu.module_is_open, "") if facts.gpu.module_is_open is not None else ""
    return f"{version}{f' (CUDA {cuda})' if cuda else ''}{words}" + (
        " of Windows" if facts.host.wsl and driver(facts) else ""
    )


def _docker(facts: Facts) -> str:
    engine = facts.engine
    if engine.cli_version is None:
        return "not installed"
    server = engine.server_version
    if isinstance(server, Unknown) or server is None:
        return f"command {engine.cli_version}; the engine does not answer ({engine.problem})"
    gpu = "GPU runtime" if "nvidia" in engine.runtimes else "no GPU runtime"
    gpu = "GPU over CDI" if engine.cdi_devices else gpu
    return f"{server}, {gpu}" if has_gpu(facts) else server


def _image(image: Image) -> str:
    """Return what the image is; the lines below it are of its inside."""
    if image.problem:
        return f"{image.reference}: {image.problem}"
    words = [image.reference, image.host.distribution_name, image.machine]
    gpu = "the GPU reaches it" if image.has_gpu and image.gpu.init_code == 0 else ""
    return ", ".join(word for word in (*words, gpu) if word)


def _python(facts: Facts) -> str:
    if not facts.python.version:
        return "not seen"
    kind = ", virtual environment" if facts.python.is_virtual else ""
    return f"{facts.python.version}{kind}"


def _torch(facts: Facts) -> str:
    packages = facts.python.packages
    if "torch" not in packages and facts.image:
        return "not in the image" if facts.python.version else "not seen"
    if "torch" not in packages:
        return "not installed here (the image or `make setup` brings it)"
    cuda = facts.python.torch_cuda
    if isinstance(cuda, Unknown):
        build = cuda.reason
    else:
        build = f"CUDA {cuda}" if cuda else "CPU build"
        build = f"ROCm {facts.python.torch_hip}" if facts.python.torch_hip else build
    bnb = packages.get("bitsandbytes")
    return f"{packages['torch']} ({build})" + (f", bitsandbytes {bnb}" if bnb else "")


def _memory(facts: Facts) -> str:
    storage = facts.storage
    usable, free = storage.usable_memory_bytes, storage.memory_available_bytes
    if isinstance(usable, Unknown) or isinstance(free, Unknown):
        return "not read"
    limit = ", limited by the container" if storage.memory_limit_bytes else ""
    shm = storage.shm_total_bytes
    shared = "" if isinstance(shm, Unknown) else f", {_size(shm)} shared memory"
    processors = f", {storage.num_cpus} processors" if storage.num_cpus else ""
    return f"{gib(usable)}{limit}, {gib(min(free, usable))} free{shared}{processors}"


def _size(num_bytes: int) -> str:
    return gib(num_bytes) if num_bytes >= 1 << 30 else f"{num_bytes >> 20} MiB"


def _disk(facts: Facts) -> str:
    places: dict[str, list[str]] = {}
    for each in facts.storage.folders:
        if not isinstance(each.free_bytes, Unknown):
            places.setdefault(gib(each.free_bytes), []).append(each.purpose)
    if len(places) == 1:
        return f"{next(iter(places))} free"
    words = [f"{free} free for {', '.join(names)}" for free, names in places.items()]
    return "; ".join(words) or "not read"


def _tried(facts: Facts) -> str:
    return ", ".join(f"{each.name} {each.status}" for each in facts.deep)


def _job(wants: Requirements) -> str:
    """Return what a job wants, in the order a person would ask."""
    place = f"{wants.num_gpus} GPU" if wants.num_gpus else "CPU"
    place += " or the CPU" if wants.num_gpus and wants.can_use_cpu else ""
    words = [wants.model, wants.dtype, wants.quantization, place]
    sizes = (
        ("device memory", wants.device_memory_bytes),
        ("memory", wants.host_memory_bytes),
        ("disk", wants.download_bytes + wants.cache_bytes + wants.run_bytes),
    )
    least = ", ".join(f"{_size(size)} {name}" for name, size in sizes if size)
    return ", ".join(word for word in words if word) + (f"; at least {least}" if least else "")


def verdict(facts: Facts, findings: tuple[Finding, ...], choice: Choice) -> str:
    """Return the one line that counts."""
    faults = [each for each in findings if each.status is Status.FAIL]
    doubts = [each for each in findings if each.status is Status.UNKNOWN]
    if faults:
        more = f", then {len(faults) - 1} more" if len(faults) > 1 else ""
        return f"fault: {faults[0].what} ({faults[0].id}){more}"
    if doubts:
        return f"cannot tell: {doubts[0].what} ({doubts[0].id})"
    warnings = sum(each.status is Status.WARN for each in findings)
    tail = f" ({warnings} warning{'s' if warnings > 1 else ''})" if warnings else ""
    if facts.requirements:
        tail = f"; nothing stands in the way of the job{tail}"
    ready = f"ready: image variant {choice.variant}"
    if facts.image:
        ready = f"ready: {facts.image.reference} runs here"
    if not has_gpu(facts):
        ready = f"CPU only: {f'{facts.image.reference} runs here' if facts.image else DEMO}"
    return ready + tail
