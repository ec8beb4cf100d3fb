"""The microversions of the Placement API, each with what it brought."""

from __future__ import annotations

from pileus.web.microversions import Microversions

VERSIONS: tuple[tuple[str, str], ...] = (
    ("1.0", "Providers, inventories, usages and allocations."),
    ("1.1", "Aggregates of providers."),
    ("1.2", "Resource classes."),
    ("1.3", "Lists of providers filter by member_of."),
    ("1.4", "Lists of providers filter by resources."),
    ("1.5", "All inventories of a provider are deleted at once."),
    ("1.6", "Traits."),
    ("1.7", "A resource class is made by PUT, as often as one likes."),
    ("1.8", "Allocations name a project and a user."),
    ("1.9", "Usages of projects and users."),
    ("1.10", "Allocation candidates."),
    ("1.11", "Providers link to their allocations."),
    ("1.12", "Allocations are written as they are read."),
    ("1.13", "Allocations of several consumers at once."),
    ("1.14", "Trees of providers."),
    ("1.15", "Replies say when what they show was changed."),
    ("1.16", "Allocation candidates have a limit."),
    ("1.17", "Allocation candidates by traits."),
    ("1.18", "Lists of providers filter by traits."),
    ("1.19", "Aggregates have their provider's generation."),
    ("1.20", "A new provider is shown."),
    ("1.21", "Allocation candidates by aggregates."),
    ("1.22", "Traits that must not be there."),
    ("1.23", "Errors have codes."),
    ("1.24", "Several member_of."),
    ("1.25", "Groups of what is asked for."),
    ("1.26", "All of an inventory may be reserved."),
    ("1.27", "Summaries of providers have all of their classes."),
    ("1.28", "Consumers have generations."),
    ("1.29", "Allocation candidates in trees."),
    ("1.30", "Reshaping: inventories and allocations at once."),
    ("1.31", "Allocation candidates in one tree."),
    ("1.32", "Aggregates that must not be there."),
    ("1.33", "Groups have names."),
    ("1.34", "Allocation candidates say which provider serves which group."),
    ("1.35", "Traits of the root."),
    ("1.36", "Groups in one part of a tree."),
    ("1.37", "Providers move between trees."),
    ("1.38", "Consumers have types."),
    ("1.39", "One of several traits."),
)

MICROVERSIONS = Microversions("placement", VERSIONS)
