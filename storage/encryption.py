"""Encryption of the secrets that Parley stores for its users, such as API keys of sources."""

from __future__ import annotations

import os

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

    def read_secret(self, encrypted: str | None, variable: str | None) -> str:
        """Return a secret that is stored, or that an environment variable holds.

        Args:
            encrypted: the encrypted secret; None if a variable holds it.
            variable: name of the environment variable.

        Raises:
            SetupError: the secret can't be decrypted, or the variable is missing.
        """
        if encrypted is not None:
            return self.decrypt(encrypted)
        secret = os.environ.get(variable or "", "").strip()
        if not secret:
            raise SetupError(f"{variable} holds no secret: set it in the environment of `parley up`")
        return secret

    def _require_key(self) -> MultiFernet:
        if self._fernet is None:
            raise SetupError(f"{ENCRYPTION_KEY_SETTING} is not set, so no secret can be stored; {_KEY_FIX}")
        return self._fernet
