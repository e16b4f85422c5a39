"""Where on which image a finding is seen."""
