"""What is sealed is opened, and nothing else is."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from pileus.services.identity.tokens.keys import TokenKeys
from pileus.services.identity.tokens.payload import Scope, Token, new_audit_id, token_open, token_seal

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
    for text in ("", "=", "x" * 5000, sealed[:-1], sealed + "A"):
        assert token_open(keys, text) is None
    assert token_open(keys, keys.seal(b"not a token", 0)) is None


def test_keys_replaced_by_another_process_are_noticed(tmp_path):
    ours, theirs = TokenKeys(tmp_path / "keys"), TokenKeys(tmp_path / "keys")
    theirs.rotate()
    assert ours.open(theirs.seal(b"x", 0)) == b"x"
    assert theirs.open(ours.seal(b"y", 0)) == b"y"
