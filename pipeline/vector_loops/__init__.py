"""What loops that numba compiles to vector instructions are made of."""
