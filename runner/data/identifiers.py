"""What in a text looks like it names a person: e-mail, phone, national ids, records, accounts.

Each pattern is checked beyond its digits (check digits, ranges, a word beside it), so that ordinary
numbers pass. What is found is never returned, only its kind. Nothing found is no proof of none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from runner.data import check_digits as checks

if TYPE_CHECKING:
    from runner.data.texts import TextBatch

# kind → what a person calls it
KINDS = {
    "email": "e-mail address",
    "phone": "phone number",
    "us_ssn": "US social security number",
    "ch_ahv": "Swiss AHV number",
    "de_tax_id": "German tax id",
    "de_insurance": "German pension insurance number",
    "de_health": "German health insurance number",
    "uk_nhs": "UK NHS number",
    "uk_nino": "UK national insurance number",
    "fr_nir": "French NIR",
    "it_cf": "Italian codice fiscale",
    "es_dni": "Spanish DNI or NIE",
    "nl_bsn": "Dutch BSN",
    "record": "medical record, patient, case or insurance number",
    "birth": "date of birth",
    "iban": "IBAN",
    "card": "payment card number",
    "ip": "IP address",
}


def find_identifiers(batch: TextBatch) -> Iterator[tuple[int, str]]:
    """Yield (index of the text, kind) for what a batch holds, each kind once a text."""
    for index in batch.with_numbers_or_at():
        for kind in identifiers_in(batch.texts[index]):
            yield index, kind


def identifiers_in(text: str) -> list[str]:
    """Return the kinds of identifier a text holds, each once."""
    found = (kind for kind, pattern, is_valid in _PATTERNS if _holds(text, pattern, is_valid))
    return list(dict.fromkeys(found))


def _holds(text: str, pattern: re.Pattern[str], is_valid: Callable[[str], bool]) -> bool:
    return any(is_valid(match.group(1)) for match in pattern.finditer(text))


_MONTH = (
    r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|Mär|Mai|Okt|Dez"
    r"|janv|févr|mars|avr|juin|juil|août|sept|déc)[a-zéû]*\.?"
)
_DATE = (
    r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\s?\d{1,2}[-/.]\s?(?:\d{4}|\d{2})"
    rf"|\d{{1,2}}\.?\s{_MONTH},?\s\d{{4}}|{_MONTH}\s\d{{1,2}},?\s\d{{4}})"
)
_NUMBER = r"(?:no\.?|number|nr\.?|nummer|num\.?|id|#|:)"
_ID = r"[A-Z]{0,4}[-/]?\d[\d/-]{3,}\d[A-Z]?"


def _pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    return re.compile(text, flags)


_I = re.IGNORECASE
_PATTERNS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    (
        "email",
        _pattern(r"(?<![\w.+-])([\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,24})\b"),
        checks.email,
    ),
    (
        "phone",
        _pattern(
            r"(?<![\w.,/-])(?<!\d )"
            r"(\+\d{1,3}[\s.-]?(?:\(0?\d{1,4}\)[\s.-]?)?\d{1,5}(?:[\s.-]?\d{2,5}){1,5}"
            r"|\(\d{3}\)\s?\d{3}[\s.-]\d{4}|\d{3}[.-]\d{3}[.-]\d{4}"
            r"|0\d{1,4}[\s/.-]{1,3}\d{2,4}(?:[\s.-]?\d{2,4}){1,4})(?![\w/-]|[.,]\d)"
        ),
        checks.phone,
    ),
    (
        "phone",
        _pattern(
            r"\b(?:tel|phone|telefon|mobile|mobil|handy|cell|fax|téléphone)\b\.?[^\d\n]{0,12}"
            r"([+(]?\d[\d\s()/.-]{6,18}\d)(?!\d)", _I),
        checks.phone,
    ),
    ("us_ssn", _pattern(r"(?<![\d-])(\d{3}([- ])\d{2}\2\d{4})(?![\d-])"), checks.us_ssn),
    ("ch_ahv", _pattern(r"(?<!\d)(756[. ]?\d{4}[. ]?\d{4}[. ]?\d{2})(?!\d)"), checks.ean13),
    (
        "de_tax_id",
        _pattern(
            r"(?:steuer-?\s?id|steuerliche|identifikationsnummer|idnr|tin|tax\s?id)\D{0,30}"
            r"([1-9]\d(?:\s?\d{3}){3})(?!\d)", _I),
        checks.de_tax_id,
    ),
    (
        "de_insurance",
        _pattern(r"\b(\d{2}\s?(?:0[1-9]|[12]\d|3[01])(?:0\d|1[0-2])\d{2}\s?[A-Z]\s?\d{3})\b"),
        checks.de_insurance,
    ),
    ("de_health", _pattern(r"\b([A-Z]\d{9})\b"), checks.de_health),
    ("uk_nhs", _pattern(r"(?<![\d-])(\d{3} \d{3} \d{4})(?![\d-])"), checks.uk_nhs),
    ("uk_nhs", _pattern(r"\bNHS\b[^\d\n]{0,16}(\d{3}-?\d{3}-?\d{4})(?!\d)"), checks.uk_nhs),
    (
        "uk_nino",
        _pattern(r"\b([A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\s?\d{2}\s?\d{2}\s?\d{2}\s?[A-D])\b"),
        checks.uk_nino,
    ),
    (
        "fr_nir",
        _pattern(
            r"(?<!\d)([12]\s?\d{2}\s?(?:0[1-9]|1[0-2]|[2-9]\d)\s?(?:\d{2}|2[AB])"
            r"\s?\d{3}\s?\d{3}\s?\d{2})(?!\d)"
        ),
        checks.fr_nir,
    ),
    ("it_cf", _pattern(r"\b([A-Z]{6}\d{2}[A-EHLMPR-T]\d{2}[A-Z]\d{3}[A-Z])\b"), checks.it_cf),
    ("es_dni", _pattern(r"\b((?:\d{8}|[XYZ]-?\d{7})[\s-]?[A-HJ-NP-TV-Z])\b"), checks.es_dni),
    (
        "nl_bsn",
        _pattern(r"\b(?:BSN|burgerservicenummer|sofinummer)\D{0,12}(\d{9})(?!\d)", _I),
        checks.nl_bsn,
    ),
    (
        "record",
        _pattern(
            r"\b(?:MRN|medical\s+record|patient(?:en)?|hospital|chart|case|fall|record|policy"
            rf"|insurance|member|versicherten|dossier)[\s-]?{_NUMBER}*[\s:#.]*{_NUMBER}"
            rf"[\s:#.]*({_ID})\b", _I),
        checks.always,
    ),
    ("record", _pattern(rf"\b(?:MRN|PID|KVNR)[\s:#.-]*({_ID})\b"), checks.always),
    (
        "birth",
        _pattern(
            r"(?:\b(?:born|birth|birthday|dob|d\.o\.b\.?|geb\.?|geboren|geburtsdatum|née?|nato"
            rf"|naissance|nacid[oa]|nacimiento)\b)[^\d\n]{{0,24}}?({_DATE})", _I),
        checks.always,
    ),
    (
        "birth",
        # a name of two words with a date behind it in brackets or after a comma
        _pattern(
            rf"\b[A-ZÀ-Þ][a-zß-ÿ]+\s[A-ZÀ-Þ][a-zß-ÿ]+(?:,\s|\s?\()\*?\s?({_DATE})(?:\)|,|;|\s\()"
        ),
        checks.always,
    ),
    (
        "iban",
        _pattern(r"\b([A-Z]{2}\d{2}(?:\s?[A-Z0-9]{4}){2,7}(?:\s?[A-Z0-9]{1,3})?)\b"),
        checks.iban,
    ),
    (
        "card",
        _pattern(
            r"(?<![\d.,-])((?:4\d{3}|5[1-5]\d{2}|2[2-7]\d{2}|3[47]\d{2}|6\d{3})(?:[ -]?\d){9,15})"
            r"(?![\d-]|[.,]\d)"
        ),
        checks.card,
    ),
    ("ip", _pattern(r"(?<![\w.])(?<!ersion )((?:\d{1,3}\.){3}\d{1,3})(?![\w.]*\d)"), checks.ip),
    (
        "ip",
        _pattern(r"(?<![\w:])((?:[0-9a-fA-F]{1,4}:){3,7}[0-9a-fA-F:]{1,15})(?![\w:])"),
        checks.ip,
    ),
)  # fmt: skip
