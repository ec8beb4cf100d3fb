"""Actions of servers, by what they need: power, a rebuild, a lock, an administrator."""
