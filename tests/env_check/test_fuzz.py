"""No probe breaks, whatever files and programs say: garbage is at most unknown."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

import pytest

from env_check.choose import choose
from env_check.collect import collect
from env_check.facts import from_json, to_json
from env_check.judge import judge
from env_check.probes import image, network
from env_check.render import markdown, text
from env_check.system import Answer, Output, Package
from tests.env_check.recorded import RecordedSystem, host_names, load_host

WORDS = (
    "", "\0", "{", "[]", "null", "-1", "nan", "1e309", "99999999999999999999999", "ä" * 50,
    "\x1b[2J",
    '{"ServerVersion": 3, "Runtimes": ["a"], "SecurityOptions": 1, "ClientInfo": "x"}',
    '{"code": "x", "api": null}', '{"code": null}', '{"code": [1], "library": 3}', "0, a, b",
    "0,NVIDIA,1.2.3,x,y,Default,[N/A],[N/A]", "NVRM version:  .. 5", "MemTotal: kB",
    "GPU 0:\n  MIG ",
    '{"Architecture": 4, "Config": []}', '{"Config": {"Env": 3, "Labels": [1]}}',
    "-\n" * 2000, "processor : \n", "max", "0 0", "1 0", "cuda = '13.0", "\x7fELF" + "\xff" * 80,
)  # fmt: skip


class Garbled(RecordedSystem):
    """A recorded machine in which any answer may be torn, swapped or nonsense."""

    def __init__(self, name: str, seed: int) -> None:
        super().__init__(load_host(name))
        self.dice = random.Random(f"{name}-{seed}")

    def spoil(self, said: str) -> str:
        roll = self.dice.random()
        if roll < 0.5:
            return said
        if roll < 0.7:
            return self.dice.choice(WORDS)
        if roll < 0.85:
            return said[: self.dice.randrange(len(said) + 1)]
        torn = list(said)
        self.dice.shuffle(torn)
        return "".join(torn)

    def run(
        self, command: Sequence[str], *, timeout_seconds: float = 5.0, given: bytes = b""
    ) -> Output:
        done = super().run(command, timeout_seconds=timeout_seconds)
        if self.dice.random() < 0.1:
            return Output(None, problem="no answer within 5 s")
        code = self.dice.choice((done.exit_code, 0, 1, -11))
        return Output(code, self.spoil(done.stdout), self.spoil(done.stderr))

    def read(self, path: str) -> str | None:
        said = super().read(path)
        return None if said is None and self.dice.random() < 0.5 else self.spoil(said or "")

    def read_bytes(self, path: str, num_bytes: int) -> bytes | None:
        return self.spoil("\x7fELF" + "\x02" * 70).encode("latin-1", "replace")[:num_bytes]

    def size(self, path: str) -> int | None:
        return self.dice.choice((None, 0, 63, 64, 1 << 40))

    def variable(self, name: str) -> str | None:
        return self.dice.choice((None, super().variable(name), self.dice.choice(WORDS)))

    def packages(self, names: frozenset[str]) -> tuple[Package, ...]:
        known = super().packages(names) or (Package("torch", "2.13.0", "/venv/site"),)
        return tuple(
            Package(each.name, self.spoil(each.version), each.folder, (self.spoil("numpy>=1"),))
            for each in known
        )

    def get(self, url: str, *, token: str = "", timeout_seconds: float = 5.0) -> Answer:
        return Answer(self.dice.choice((None, 200, 301, 418, 503)), date=self.spoil("Mon, 1"))


@pytest.mark.parametrize("name", host_names()[::3])
@pytest.mark.parametrize("seed", range(5))
def test_garbage_breaks_no_probe_no_rule_and_no_report(name: str, seed: int) -> None:
    """Facts of nonsense are facts all the same: judged, chosen for, shown, read back."""
    system = Garbled(name, seed)
    facts = collect(system)
    assert facts.unread == ()
    network.ask(system, facts.network, None)
    image.probe(system, "some:1", machine=facts.host.machine, wants_gpu=True)
    findings, choice = judge(facts), choose(facts)
    for show in (text, markdown):
        assert "\x1b" not in show(facts, findings, choice), "a report must not steer a terminal"
    assert from_json(json.loads(json.dumps(to_json(facts)))) == facts
