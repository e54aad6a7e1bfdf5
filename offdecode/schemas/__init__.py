"""What records and rows consist of: tables, and what follows from them."""
