"""Movement on tracks whose stops are known, or found by other means: `make tracks` prints the table."""
