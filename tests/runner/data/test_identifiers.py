"""Identifiers of persons are told from ordinary numbers, and never echoed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.data.identifiers import KINDS, find_identifiers, identifiers_in
from runner.data.texts import TextBatch
from tests.runner.data.chats import chat
from tests.runner.data.conftest import Workshop

DATA = Path(__file__).parents[3] / "data"

FOUND = [
    ("Write to a.b@hospital.ch now", "email"),
    ("Call +41 44 668 18 00 today", "phone"),
    ("Tel. 044 668 18 00", "phone"),
    ("(212) 736-5000", "phone"),
    ("Her number is 219-09-9998.", "us_ssn"),
    ("AHV 756.9217.0769.85", "ch_ahv"),
    ("Steuer-ID 86 095 742 719", "de_tax_id"),
    ("65170839J003", "de_insurance"),
    ("A123456780", "de_health"),
    ("NHS number 943 476 5919", "uk_nhs"),
    ("AB 12 34 56 C", "uk_nino"),
    ("NIR 1 84 12 76 451 089 46", "fr_nir"),
    ("RSSMRA85T10A562S", "it_cf"),
    ("DNI 12345678Z", "es_dni"),
    ("BSN 111222333", "nl_bsn"),
    ("MRN: 00123456", "record"),
    ("patient no. 4711-22", "record"),
    ("born on 12 March 1974", "birth"),
    ("John Smith (12.03.1974)", "birth"),
    ("DE89 3704 0044 0532 0130 00", "iban"),
    ("4111 1111 1111 1111", "card"),
    ("from 129.132.8.15", "ip"),
]

ORDINARY = [
    "NHS number 943 476 5918",  # wrong check digit
    "AHV 756.9217.0769.86",
    "DE88 3704 0044 0532 0130 00",
    "4111 1111 1111 1112",
    "Write to someone@example.com",
    "blood pressure 120/80, 500 mg 3 times a day for 10-14 days",
    "on 2024-05-06 at 10:30, 2021-2022",
    "1,000,000 to 2,500,000 of 0.123456",
    "doi 10.1056/NEJMoa2034577, ISBN 978-3-16-148410-0",
    "call 116 117, 144 or 911",
    "version 1.2.3.4 on 192.168.1.1",
    "call 212-555-0123",
    "section 7.6.3.2",
    "Boston, MA 02110-1301",
    "0123456789 and 1234567890",
    "the ratio is 3:2:1 in 2019 (n=1234)",
]


@pytest.mark.parametrize(("text", "kind"), FOUND, ids=[kind for _, kind in FOUND])
def test_identifier_is_found(text: str, kind: str) -> None:
    """What has the form and the check digits of an identifier is one."""
    assert kind in identifiers_in(text)


def test_every_kind_is_shown_to_be_found() -> None:
    """No kind of the table goes untested."""
    assert {kind for _, kind in FOUND} == set(KINDS)


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_number_is_none(text: str) -> None:
    """Doses, dates, counts, versions and numbers with wrong check digits pass."""
    assert identifiers_in(text) == []


def test_batch_finds_what_a_single_text_holds() -> None:
    """The quick look at the bytes of a batch loses nothing."""
    texts = [text for text, _ in FOUND] + ORDINARY + ["", "nothing"]
    expected = [(i, kind) for i, text in enumerate(texts) for kind in identifiers_in(text)]
    assert list(find_identifiers(TextBatch(texts))) == expected


@pytest.mark.parametrize("path", sorted(DATA.glob("*/*.jsonl")), ids=lambda path: path.stem)
def test_shipped_data_holds_none(path: Path) -> None:
    """No false alarm on the project's own health chats, where numbers abound."""
    texts = [
        json.dumps(json.loads(line), ensure_ascii=False) for line in path.read_text().splitlines()
    ]
    assert list(find_identifiers(TextBatch(texts))) == []


def test_report_names_kind_and_line_and_not_the_number(workshop: Workshop) -> None:
    """A warning says where; the number itself is nowhere."""
    rows = [{"messages": chat("u:Hello", "a:Yes.")}] * 2
    rows.append({"messages": chat("u:I am at planted@hospital.ch", "a:Yes.")})
    report = workshop.prepare(rows).report
    shown = json.dumps(report.to_dict())
    assert report.sources[0].identifiers["email"].lines == [3]
    assert "train.jsonl:3: 1 row may hold a person's data: e-mail address" in shown
    assert "planted" not in shown
