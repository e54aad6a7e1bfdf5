"""Group records to groups, their members and their generations."""
