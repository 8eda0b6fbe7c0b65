"""A transcript as text, one function per format."""
