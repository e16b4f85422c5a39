"""The gate: every object that this product makes is checked before it is stored."""
