"""The rows that a scenario stored, how they differ from the reference fold of the operators, and the table."""
