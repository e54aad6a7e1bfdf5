"""Records to rows: one engine of vectors, one that reads record by record."""
