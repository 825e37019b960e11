"""Pages that change while one looks at them: one loop asks the master for all who look."""
