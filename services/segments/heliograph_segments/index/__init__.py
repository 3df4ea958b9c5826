"""The audience in memory: columns of codes, a partition of 2^20 ordinals at a time. Pure: no database."""
