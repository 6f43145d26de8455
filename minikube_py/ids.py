"""Makes every random value of the program: UIDs, name suffixes, secrets, jitter."""

import random
import secrets
import uuid

# Kubernetes' alphabet for generated names: no vowels and no look-alikes (apimachinery util/rand).
NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"

_random: random.Random = random.SystemRandom()


def seed(value: int) -> None:
    """Make UIDs, suffixes and jitter repeatable (tests only; secrets stay random)."""
    global _random
    _random = random.Random(value)


def uid() -> str:
    """A version 4 UUID in its 36-character text form."""
    return str(uuid.UUID(int=_random.getrandbits(128), version=4))


def name_suffix(length: int = 5) -> str:
    """The random tail that `generateName` gets."""
    number, letters = _random.getrandbits(64 + 5 * length), []
    for _ in range(length):
        number, index = divmod(number, len(NAME_ALPHABET))
        letters.append(NAME_ALPHABET[index])
    return "".join(letters)


def jitter(seconds: float, factor: float) -> float:
    """`seconds` made longer by up to `factor` of itself."""
    return seconds * (1 + _random.random() * factor)


def pick(count: int) -> int:
    """A number from 0 to `count` - 1."""
    return _random.randrange(count)


def secret_token(size_bytes: int = 32) -> str:
    """A URL-safe secret with `size_bytes` bytes of entropy; never seeded."""
    return secrets.token_urlsafe(size_bytes)


def secret_hex(size_bytes: int) -> str:
    """A lower-case hexadecimal secret with `size_bytes` bytes of entropy; never seeded."""
    return secrets.token_hex(size_bytes)
