"""Federation: users of identity providers, whose claims a mapping turns into users, groups and projects."""
