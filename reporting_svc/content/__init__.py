"""What a report says, before any form."""
