"""Encryption of the secrets that Parley stores for its users, such as API keys of sources."""

from __future__ import annotations

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from operators.errors import SetupError

ENCRYPTION_KEY_SETTING = "PARLEY_ENCRYPTION_KEY"
_KEY_FIX = "a key is 32 random bytes: `openssl rand -base64 32 | tr '+/' '-_'` prints one"


class SecretCipher:
    """Encrypts and decrypts stored secrets with Fernet (AES-128-CBC and HMAC-SHA256).

    Args:
        keys: keys separated by commas, from `PARLEY_ENCRYPTION_KEY`. The first one encrypts, and each of them decrypts, so
            that a key can be replaced. None if the setting is missing: then nothing can be encrypted or decrypted.

    Raises:
        SetupError: a key is no Fernet key.
    """

    def __init__(self, keys: str | None) -> None:
        self._fernet: MultiFernet | None = None
        if keys is not None:
            try:
                self._fernet = MultiFernet([Fernet(key.strip()) for key in keys.split(",")])
            except ValueError:
                raise SetupError(f"{ENCRYPTION_KEY_SETTING} is not a key; {_KEY_FIX}") from None

    def encrypt(self, secret: str) -> str:
        """Encrypt a secret.

        Raises:
            SetupError: there is no key.
        """
        return self._require_key().encrypt(secret.encode()).decode()

    def decrypt(self, encrypted: str) -> str:
        """Decrypt a stored secret.

        Raises:
            SetupError: there is no key, or the secret was encrypted with another one.
        """
        try:
            return self._require_key().decrypt(encrypted).decode()
        except InvalidToken:
            raise SetupError(
                f"{ENCRYPTION_KEY_SETTING} does not decrypt the stored secrets: add the key that encrypted them, after a comma"
            ) from None

    def _require_key(self) -> MultiFernet:
        if self._fernet is None:
            raise SetupError(f"{ENCRYPTION_KEY_SETTING} is not set, so no secret can be stored; {_KEY_FIX}")
        return self._fernet
