"""Whether a number that looks like an identifier is one: check digits, ranges, reserved values."""

from __future__ import annotations

import ipaddress
import re


def digits_of(text: str) -> list[int]:
    """Return the digits of a text as numbers."""
    return [int(char) for char in text if char.isdecimal() and char.isascii()]


def email(text: str) -> bool:
    """Say whether an address is none of documentation."""
    # addresses of documentation (RFC 2606, RFC 6761) name nobody
    domain = text.rpartition("@")[2].lower()
    return not re.search(r"(^|\.)(example(\.(com|org|net))?|test|invalid|localhost)$", domain)


def phone(text: str) -> bool:
    """Say whether digits can be a telephone number."""
    digits = digits_of(text)
    # 555-0100 to 555-0199 are kept for fiction (ATIS-0300115)
    is_zip = re.fullmatch(r"\d{5}-\d{4}", text) is not None  # a US address
    is_fiction = digits[-7:-4] == [5, 5, 5] and digits[-4:-2] == [0, 1]
    return 8 <= len(digits) <= 15 and len(set(digits)) > 2 and not is_zip and not is_fiction


def us_ssn(text: str) -> bool:
    """Say whether a number can be a US social security number."""
    # SSA POMS RM 10201.035: area not 000, 666 or 9xx, group not 00, serial not 0000
    area, group, serial = text[:3], text[4:6], text[7:]
    public = {"078-05-1120", "219-09-9999", "123-45-6789"}  # printed in advertisements and manuals
    is_real = area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"
    return is_real and text.replace(" ", "-") not in public


def ean13(text: str) -> bool:
    """Say whether 13 digits carry the check digit of EAN-13 (Swiss AHV)."""
    digits = digits_of(text)
    total = sum(digit * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return len(digits) == 13 and total % 10 == 0


def uk_nhs(text: str) -> bool:
    """Say whether ten digits are an NHS number."""
    # NHS Data Dictionary: weights 10 … 2, modulo 11
    digits = digits_of(text)
    check = 11 - sum(w * d for w, d in zip(range(10, 1, -1), digits, strict=False)) % 11
    return len(digits) == 10 and check % 11 == digits[9] and check != 10 and len(set(digits)) > 2


def uk_nino(text: str) -> bool:
    """Say whether a prefix is in use."""
    prefix = text[:2].upper()
    return prefix not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")


def fr_nir(text: str) -> bool:
    """Say whether a French number carries its key."""
    # INSEE: key = 97 - (number modulo 97); Corsica 2A, 2B count as 19, 18
    compact = re.sub(r"\s", "", text).upper().replace("2A", "19").replace("2B", "18")
    return len(compact) == 15 and 97 - int(compact[:13]) % 97 == int(compact[13:])


def de_tax_id(text: str) -> bool:
    """Say whether eleven digits are a German tax id."""
    # Bundeszentralamt für Steuern: ISO 7064 MOD 11,10; one of ten digits occurs 2 or 3 times
    digits = digits_of(text)
    repeats = sorted(digits[:10].count(digit) for digit in set(digits[:10]))
    product = 10
    for digit in digits[:10]:
        product = 2 * ((digit + product) % 10 or 10) % 11
    return (
        repeats[-1:] in ([2], [3]) and repeats[-2:-1] == [1] and (11 - product) % 10 == digits[10]
    )


def de_insurance(text: str) -> bool:
    """Say whether a German pension insurance number carries its check digit."""
    # VKVV § 4: the letter counts as two digits; weights, cross sums, modulo 10
    compact = re.sub(r"\s", "", text).upper()
    letter = f"{ord(compact[8]) - 64:02d}"
    digits = digits_of(compact[:8] + letter + compact[9:11])
    weights = (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1)
    total = sum(sum(divmod(w * d, 10)) for w, d in zip(weights, digits, strict=True))
    return total % 10 == int(compact[11])


def de_health(text: str) -> bool:
    """Say whether a German health insurance number carries its check digit."""
    # GKV-Spitzenverband: Luhn from the left, the letter counts as two digits
    digits = digits_of(f"{ord(text[0]) - 64:02d}" + text[1:9])
    total = sum(sum(divmod(d * (1 + place % 2), 10)) for place, d in enumerate(digits))
    return total % 10 == int(text[9])


def it_cf(text: str) -> bool:
    """Say whether an Italian tax code carries its check letter."""
    # DM 23 dicembre 1976: odd places by a table, even ones by value, modulo 26
    odd = (
        1,
        0,
        5,
        7,
        9,
        13,
        15,
        17,
        19,
        21,
        2,
        4,
        18,
        20,
        11,
        3,
        6,
        8,
        12,
        14,
        16,
        10,
        22,
        25,
        24,
        23,
    )
    values = [int(c) if c.isdigit() else ord(c) - 65 for c in text.upper()[:15]]
    total = sum(value if place % 2 else odd[value] for place, value in enumerate(values))
    return chr(65 + total % 26) == text[15].upper()


def es_dni(text: str) -> bool:
    """Say whether a Spanish DNI or NIE carries its letter."""
    compact = re.sub(r"[\s.-]", "", text).upper()
    number = compact[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == compact[-1]


def nl_bsn(text: str) -> bool:
    """Say whether nine digits pass the Dutch test of eleven."""
    digits = digits_of(text)
    total = sum(w * d for w, d in zip((9, 8, 7, 6, 5, 4, 3, 2, -1), digits, strict=True))
    return total % 11 == 0 and len(set(digits)) > 2


def iban(text: str) -> bool:
    """Say whether an IBAN carries its check digits."""
    # ISO 13616: the country and check digits to the end, letters as numbers, modulo 97 is 1
    compact = re.sub(r"\s", "", text).upper()
    if not 15 <= len(compact) <= 34:
        return False
    return int("".join(str(int(char, 36)) for char in compact[4:] + compact[:4])) % 97 == 1


def card(text: str) -> bool:
    """Say whether a card number passes Luhn's check."""
    digits = digits_of(text)
    doubled = (sum(divmod(2 * d, 10)) if i % 2 else d for i, d in enumerate(reversed(digits)))
    return 13 <= len(digits) <= 19 and sum(doubled) % 10 == 0 and len(set(digits)) > 1


def ip(text: str) -> bool:
    """Say whether an address is one of the open internet."""
    try:
        if "." in text and max(map(int, text.split("."))) < 20:
            return False  # more likely the number of a version or a section
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False


def always(_: str) -> bool:
    """Accept what a word beside it vouches for."""
    return True
