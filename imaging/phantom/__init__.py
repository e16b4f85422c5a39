"""Generated images of which every measure is known, for the demonstration and for tests of measurements."""
