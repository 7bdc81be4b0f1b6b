"""Pure: standard library and numpy only; no clock, no network, no environment."""
