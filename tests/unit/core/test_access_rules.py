"""Patterns of access rules, with the examples of Keystone's middleware."""

from __future__ import annotations

import pytest

from pileus.core.access_rules import AccessRule, allows, path_matches


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/v2.1/servers", "/v2.1/servers", True),
        ("/v2.1/servers", "/v2.1/servers/x", False),
        ("/v2.1/servers", "/v201/servers", False),
        ("/v2.1/servers/{server_id}", "/v2.1/servers/x", True),
        ("/v2.1/servers/{server_id}", "/v2.1/servers/x/y", False),
        ("/v2.1/servers/{server_id}", "/v2.1/servers/", False),
        ("/v2.1/servers/*", "/v2.1/servers/x", True),
        ("/v2.1/servers/*", "/v2.1/servers/x/action", False),
        ("/v2.1/servers/*/action", "/v2.1/servers/x/action", True),
        ("/v2.1/**", "/v2.1/servers/x/action", True),
        ("/v2.1/**", "/v2.1", False),
        ("/v2.1/**/action", "/v2.1/servers/x/action", True),
        ("/**", "/", True),
        ("/a/***", "/a/b/c/d", True),
        ("/a.b(c)[d]+", "/a.b(c)[d]+", True),
        ("/a.b", "/aab", False),
        ("/a{b", "/a{b", True),
    ],
)
def test_a_pattern_means_these_paths(pattern, path, matches):
    assert path_matches(pattern, path) is matches


def test_a_rule_is_for_one_service_and_method():
    rules = [AccessRule("compute", "GET", "/v2.1/servers")]
    assert allows(rules, "compute", "GET", {"/compute/v2.1/servers", "/v2.1/servers"})
    for service, method in (("network", "GET"), ("compute", "HEAD"), ("compute", "POST")):
        assert not allows(rules, service, method, {"/v2.1/servers"})
    assert not allows([], "compute", "GET", {"/v2.1/servers"})


def test_a_pattern_of_many_stars_is_no_riddle():
    """Backtracking would take longer than the world has been there."""
    assert not path_matches("/" + "**a" * 70 + "b", "/" + "a" * 8000)


def test_letters_of_all_kinds_are_themselves():
    for text in ("/a b", "/ü", "/\u4e16", "/a#&~-^$", "/a\nb", "/\\d"):
        assert path_matches(text, text)
        assert not path_matches(text, text + "x")
