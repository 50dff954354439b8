"""What is decided: transitions, compatibility, approval, plans, barriers. No I/O, no clock, no SDK."""
