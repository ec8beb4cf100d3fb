"""What is sealed is opened, and nothing else is."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from pileus.services.identity.tokens.keys import TokenKeys
from pileus.services.identity.tokens.payload import (
    LONGEST_CHAIN,
    Scope,
    Token,
    new_audit_id,
    token_chain,
    token_open,
    token_seal,
)

MOMENTS = st.datetimes(dt.datetime(1971, 1, 1), dt.datetime(2200, 1, 1))
IDS = st.text(st.characters(codec="utf-8"), max_size=64)
TOKENS = st.builds(
    Token,
    user_id=IDS,
    scope=st.builds(Scope, st.sampled_from(["unscoped", "project", "domain", "system"]), IDS),
    methods=st.lists(st.sampled_from(["password", "token"])).map(tuple),
    issued_at=MOMENTS,
    expires_at=MOMENTS,
    audit_ids=st.lists(st.binary(min_size=16, max_size=16).map(new_audit_id), min_size=1, max_size=2).map(
        tuple
    ),
    credential_id=st.sampled_from(["", "c"]),
    between=st.lists(st.binary(min_size=16, max_size=16).map(new_audit_id), max_size=3).map(tuple),
)


def test_a_token_survives_its_seal(tmp_path_factory):
    keys = TokenKeys(tmp_path_factory.mktemp("keys") / "keys")

    @given(token=TOKENS)
    def check(token: Token) -> None:
        assert token_open(keys, token_seal(keys, token)) == token

    check()


def test_a_changed_token_is_none(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    keys, others = TokenKeys(folder / "keys"), TokenKeys(folder / "others")
    token = Token(
        user_id="u",
        scope=Scope("project", "p"),
        methods=("password",),
        issued_at=dt.datetime(2026, 1, 1),
        expires_at=dt.datetime(2026, 1, 2),
        audit_ids=("a",),
    )
    sealed = token_seal(keys, token)

    @given(at=st.integers(0, len(sealed) - 3), other=st.sampled_from("ABCabc012-_é "))
    def check(at: int, other: str) -> None:
        changed = sealed[:at] + other + sealed[at + 1 :]
        assert (token_open(keys, changed) is None) is (changed != sealed)

    check()
    assert token_open(others, sealed) is None
    padded = sealed + "=" * (-len(sealed) % 4)
    spellings = (f"{sealed}=", padded + "=", f" {sealed}", f"{sealed}\n", f"{sealed[:9]} {sealed[9:]}")
    spellings += (sealed.replace("-", "+").replace("_", "/") + "+", *_idle_bits(sealed))
    for text in ("", "=", "x" * 5000, sealed[:-1], sealed + "A", *spellings):
        assert token_open(keys, text) is None
    assert token_open(keys, keys.seal(b"not a token", 0)) is None


def _idle_bits(sealed: str) -> list[str]:
    """The same bytes with other bits behind the last, where there are any."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    idle = {0: 0, 2: 4, 3: 2}[len(sealed) % 4]
    at = letters.index(sealed[-1])
    return [sealed[:-1] + letters[at ^ bits] for bits in range(1, 1 << idle)]


def test_one_spelling_whatever_the_length(tmp_path):
    keys = TokenKeys(tmp_path / "keys")
    for size in range(0, 64, 16):
        sealed = keys.seal(bytes(size), 0)
        assert keys.open(sealed) == bytes(size)
        for other in (*_idle_bits(sealed), sealed + "=", sealed + "==", f"{sealed} ", f"\t{sealed}"):
            assert keys.open(other) is None, other


def test_a_chain_names_all_from_which_a_token_was_made():
    common = {
        "user_id": "u",
        "scope": Scope("project", "p"),
        "methods": (),
        "issued_at": dt.datetime(2026, 1, 1),
    }
    token = Token(**common, expires_at=dt.datetime(2026, 1, 2), audit_ids=("0",))
    for number in range(1, LONGEST_CHAIN):
        chain = token_chain(token)
        assert chain is not None
        first, between = chain
        token = Token(**common, expires_at=token.expires_at, audit_ids=(str(number), first), between=between)
        assert {first, *between} == {str(before) for before in range(number)}
    assert token_chain(token) is None


def test_keys_replaced_by_another_process_are_noticed(tmp_path):
    ours, theirs = TokenKeys(tmp_path / "keys"), TokenKeys(tmp_path / "keys")
    theirs.rotate()
    assert ours.open(theirs.seal(b"x", 0)) == b"x"
    assert theirs.open(ours.seal(b"y", 0)) == b"y"
