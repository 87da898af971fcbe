"""What was found, as STIX 2.1 for other programs. Start at ``bundle.stix_bundle``."""
