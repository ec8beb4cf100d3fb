"""Identity: who may do what where; Keystone's API version 3."""
