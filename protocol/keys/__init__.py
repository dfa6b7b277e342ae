"""What a value may be: the types of keys, values, literals and numerals."""
