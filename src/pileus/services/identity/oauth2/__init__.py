"""OAuth 2.0: access tokens for programs, with an application credential or a client's certificate."""
