"""A log to a page to look at: what is to be seen is chosen and reduced for the eye, then written as one HTML file."""
