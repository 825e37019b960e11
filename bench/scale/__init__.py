"""How much: a million of something, a thousand sessions, and how soon what is lost comes back."""
