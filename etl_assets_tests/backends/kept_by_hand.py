"""A store of one secret that a test changes, and that counts how often it is asked."""

from etl_assets.backends.kept_secrets import KeptSecrets
from etl_assets.protocols.secrets import SecretValue


class SecretsByHand:
    """``Secrets`` over ``text``, which is held as an installation holds it; ``reads`` counts those after the first."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.reads = -1
        self._kept = KeptSecrets(_Store(self))
        self._kept.get("any")

    def get(self, name: str) -> str:
        return self._kept.get("any")

    def current(self, name: str) -> SecretValue:
        return self._kept.current("any")

    def reread(self, name: str) -> SecretValue:
        return self._kept.reread("any")


class _Store:
    def __init__(self, by_hand: SecretsByHand) -> None:
        self._by_hand = by_hand

    def get(self, name: str) -> str:
        return self.reread(name).text

    def current(self, name: str) -> SecretValue:
        return self.reread(name)

    def reread(self, name: str) -> SecretValue:
        self._by_hand.reads += 1
        return SecretValue(name, self._by_hand.text)
