"""Search back ends: one small file per service, behind ``protocols.Search``."""
