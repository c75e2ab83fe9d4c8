"""From findings to an order: the lowest broken layer first, consequences beneath it."""

from __future__ import annotations

from env_check.facts import Facts
from env_check.findings import Finding, Layer, Status, exit_code
from env_check.judge import judge
from env_check.rules.rule import Rule, Verdict


def make(
    id: str, layer: Layer, status: Status = Status.FAIL, explained_by: tuple[Layer, ...] = ()
) -> Rule:
    def check(facts: Facts) -> Verdict | None:
        return Verdict(status, id, "seen", "why", "fix", "verify")

    return Rule(id, layer, "source", "", explained_by, "Something.", check)


def order(*rules: Rule) -> list[tuple[str, list[str]]]:
    findings = judge(Facts(), rules)
    return [(each.id, [other.id for other in each.follows]) for each in findings]


DRIVER = make("A101", Layer.DRIVER)
TORCH = make("B101", Layer.TORCH)
SYMPTOM = make("C101", Layer.DEVICE, explained_by=(Layer.DRIVER, Layer.DEVICE))
LATER = make("D101", Layer.JOB, explained_by=(Layer.DRIVER, Layer.DEVICE))


def test_the_lowest_layer_comes_first() -> None:
    """The order of the rules does not matter."""
    assert order(TORCH, DRIVER) == [("A101", []), ("B101", [])]


def test_a_consequence_is_folded_under_its_cause() -> None:
    """What a lower fault explains stands beneath it."""
    assert order(SYMPTOM, DRIVER) == [("A101", ["C101"])]


def test_a_symptom_without_a_cause_stands_for_itself() -> None:
    """Nothing is lost where no rule knows why."""
    assert order(SYMPTOM) == [("C101", [])]


def test_a_symptom_explains_a_later_one() -> None:
    """Of two symptoms the lower one is the head, until a cause is found."""
    assert order(LATER, SYMPTOM) == [("C101", ["D101"])]
    assert order(LATER, SYMPTOM, DRIVER) == [("A101", ["C101", "D101"])]


def test_what_follows_from_a_consequence_hangs_under_the_root() -> None:
    """A chain of consequences has one head, and nothing in it is lost."""
    last = make("E101", Layer.TRIED, explained_by=(Layer.DEVICE,))
    assert order(last, SYMPTOM, DRIVER) == [("A101", ["C101", "E101"])]


def test_a_warning_explains_nothing() -> None:
    """Only a fault has consequences."""
    warning = make("A101", Layer.DRIVER, Status.WARN)
    assert order(warning, SYMPTOM) == [("C101", []), ("A101", [])]


def test_faults_come_before_unknowns_before_warnings() -> None:
    """What fails the check is read first."""
    rules = (
        make("A101", Layer.PLATFORM, Status.WARN),
        make("B101", Layer.HARDWARE, Status.UNKNOWN),
        make("C101", Layer.JOB),
    )
    assert [id for id, _ in order(*rules)] == ["C101", "B101", "A101"]


def test_the_worst_status_decides_the_exit_code() -> None:
    """0 fine or warnings, 1 a fault, 3 something decisive is unknown."""

    def finding(status: Status) -> Finding:
        return Finding("A101", status, Layer.JOB, "", (), "", (), "")

    assert exit_code([]) == 0
    assert exit_code([finding(Status.WARN)]) == 0
    assert exit_code([finding(Status.WARN), finding(Status.UNKNOWN)]) == 3
    assert exit_code([finding(Status.UNKNOWN), finding(Status.FAIL)]) == 1
