"""The `[safety]` table of an instrument file, read strictly, and the ratings that no file can weaken."""
