"""What can be asked of a log, a module each: from a run to the rows of the answer."""
