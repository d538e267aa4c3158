"""Encryption of stored secrets: keys can be replaced, and each problem names the setting."""

import base64
import secrets

import pytest

from operators.errors import SetupError
from storage.encryption import SecretCipher


def new_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def test_a_secret_is_decrypted_by_its_key_and_is_not_readable_before():
    cipher = SecretCipher(new_key())
    encrypted = cipher.encrypt("a key with ümlauts")
    assert "key" not in encrypted
    assert cipher.decrypt(encrypted) == "a key with ümlauts"


def test_a_new_first_key_still_decrypts_what_the_old_one_encrypted():
    old, new = new_key(), new_key()
    encrypted = SecretCipher(old).encrypt("secret")
    assert SecretCipher(f"{new}, {old}").decrypt(encrypted) == "secret"
    with pytest.raises(SetupError, match="add the key that encrypted them"):
        SecretCipher(new).decrypt(encrypted)


@pytest.mark.parametrize("keys", ["", "short", "c2hvcnQ=,", "not base64 at all, but thirty-two long!"])
def test_an_invalid_key_is_refused_without_showing_it(keys: str):
    with pytest.raises(SetupError, match="PARLEY_ENCRYPTION_KEY is not a key") as caught:
        SecretCipher(keys)
    assert "short" not in str(caught.value)


def test_without_a_key_nothing_is_stored():
    with pytest.raises(SetupError, match="PARLEY_ENCRYPTION_KEY is not set"):
        SecretCipher(None).encrypt("secret")
