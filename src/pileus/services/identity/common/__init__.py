"""Parts that all nouns of identity share: attributes, errors, the dialect, words of the policy, events."""
