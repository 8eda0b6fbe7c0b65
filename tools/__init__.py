"""Commands that make what the project ships: trained weights and their data."""
