"""`roost why CUSTOMER`: evidence is collected in one place, everything else here is pure."""
