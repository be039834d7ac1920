"""A seed of a submission's own: nobody finds out the numbers by trying, and they stay the same."""

import hashlib

SALT_VARIABLE = "HANDGRAD_CHECK_SALT"


def seed_of(sha256: str, salt: str = "") -> int:
    """Derive the seed of a submission from the hash of its source and a course's secret.

    >>> seed_of("ab" * 32) == seed_of("ab" * 32) != seed_of("ab" * 32, "a secret")
    True
    """
    digest = hashlib.sha256(f"{salt}\0{sha256}".encode()).digest()
    return int.from_bytes(digest[:4], "little")


def marked(salt: str) -> str:
    """Give what tells one salt from another and does not tell it."""
    return hashlib.sha256(f"salt\0{salt}".encode()).hexdigest()[:16]
