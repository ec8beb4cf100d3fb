"""OAuth 1.0a: a user lets a consumer act for him in a project, without his password."""
