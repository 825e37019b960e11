"""What a visitor can have done, a module each, and how each is asked for, carried out and told."""
