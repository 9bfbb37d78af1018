"""Does a network fit a chip: cores, synapse memory, axons; one rule, one function."""
