"""The commands about the store itself: copies of it, and what becomes of them."""
